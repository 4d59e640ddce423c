// pg-boss: batches of 2,000, fetched one after the other while they are full, ten connections for the jobs' own statements.
const { PgBoss } = require('pg-boss')
const { Pool } = require('pg')
const { BULK, main, measured } = require('./script.cjs')

async function withBoss (options, use) {
  const boss = new PgBoss({ ...options, supervise: false, schedule: false })
  boss.on('error', error => console.error(error))
  await boss.start()
  await use(boss)
  await boss.stop({ graceful: false, wait: false })
}

main({
  packages: ['pg-boss', 'pg'],
  install: connectionString => withBoss({ connectionString }, boss => boss.createQueue('insert')),
  enqueue: (connectionString, count) => withBoss({ connectionString }, boss => measured(async () => {
    for (let first = 1; first <= count; first += BULK) {
      const length = Math.min(BULK, count - first + 1)
      await boss.insert('insert', Array.from({ length }, (_, i) => ({ data: { n: first + i } })))
    }
  })),
  work: async connectionString => {
    const pool = new Pool({ connectionString, max: 10 })
    const boss = new PgBoss({ connectionString })
    boss.on('error', error => console.error(error))
    await boss.start()
    await boss.work('insert', { batchSize: 2000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
      jobs => Promise.all(jobs.map(({ data }) => pool.query('insert into sink (n) values ($1)', [data.n]))))
    await new Promise(() => {})
  }
})
