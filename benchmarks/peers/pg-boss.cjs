// pg-boss: batches of 2,000, its shortest polling interval, ten connections for the jobs' own statements.
const PgBoss = require('pg-boss')
const { Pool } = require('pg')

const [, , connectionString, command, count] = process.argv
const BULK = 1000

async function main () {
  const boss = new PgBoss(command === 'work' ? { connectionString } : { connectionString, supervise: false, schedule: false })
  boss.on('error', error => console.error(error))
  await boss.start()
  if (command === 'work') {
    const pool = new Pool({ connectionString, max: 10 })
    process.on('SIGTERM', () => process.exit(0))
    await boss.work('insert', { batchSize: 2000, pollingIntervalSeconds: 0.5 },
      jobs => Promise.all(jobs.map(({ data }) => pool.query('insert into sink (n) values ($1)', [data.n]))))
    return
  }
  if (command === 'install') await boss.createQueue('insert')
  for (let first = 1; command === 'enqueue' && first <= +count; first += BULK) {
    const length = Math.min(BULK, +count - first + 1)
    await boss.insert(Array.from({ length }, (_, i) => ({ name: 'insert', data: { n: first + i } })))
  }
  await boss.stop({ graceful: false, wait: false })
  process.exit(0)
}

main().catch(error => { console.error(error); process.exit(1) })
