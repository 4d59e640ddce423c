// graphile-worker: ten jobs at a time, a local queue of 500, completions batched.
const { run, makeWorkerUtils, Logger } = require('graphile-worker')
const { Pool } = require('pg')

const [, , connectionString, command, count] = process.argv
const logger = new Logger(() => () => {})
const BULK = 1000

async function work () {
  const pool = new Pool({ connectionString, max: 10 })
  const insert = async ({ n }) => { await pool.query('insert into sink (n) values ($1)', [n]) }
  const worker = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
  const runner = await run({ connectionString, concurrency: 10, maxPoolSize: 12, logger, preset: { worker }, taskList: { insert } })
  return runner.promise
}

async function main () {
  if (command === 'work') return work()
  const utils = await makeWorkerUtils({ connectionString, logger })
  if (command === 'install') await utils.migrate()
  for (let first = 1; command === 'enqueue' && first <= +count; first += BULK) {
    const length = Math.min(BULK, +count - first + 1)
    await utils.addJobs(Array.from({ length }, (_, i) => ({ identifier: 'insert', payload: { n: first + i } })))
  }
  await utils.release()
}

main().catch(error => { console.error(error); process.exit(1) })
