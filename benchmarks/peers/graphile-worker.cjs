// graphile-worker: ten jobs at a time, a local queue of 500, completions batched, ten connections for the jobs' own statements.
const { run, makeWorkerUtils, Logger } = require('graphile-worker')
const { Pool } = require('pg')
const { BULK, main, measured } = require('./script.cjs')

const logger = new Logger(() => () => {})

async function withUtils (connectionString, use) {
  const utils = await makeWorkerUtils({ connectionString, logger })
  try { await use(utils) } finally { await utils.release() }
}

main({
  packages: ['graphile-worker', 'pg'],
  install: dsn => withUtils(dsn, utils => utils.migrate()),
  enqueue: (dsn, count) => withUtils(dsn, utils => measured(async () => {
    for (let first = 1; first <= count; first += BULK) {
      const length = Math.min(BULK, count - first + 1)
      await utils.addJobs(Array.from({ length }, (_, i) => ({ identifier: 'insert', payload: { n: first + i } })))
    }
  })),
  work: async connectionString => {
    const pool = new Pool({ connectionString, max: 10 })
    const insert = async ({ n }) => { await pool.query('insert into sink (n) values ($1)', [n]) }
    const worker = {
      connectionString, concurrentJobs: 10, maxPoolSize: 12, logger, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0
    }
    const runner = await run({ preset: { worker }, taskList: { insert } })
    return runner.promise
  }
})
