// What the script of a peer on Node answers to: `node NAME.cjs DSN install|enqueue COUNT|work|versions`, as script.py.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const BULK = 1000

async function measured (block) {
  const cpu = process.cpuUsage()
  const began = process.hrtime.bigint()
  await block()
  const used = process.cpuUsage(cpu)
  console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9, cpu: (used.user + used.system) / 1e6 }))
}

function versions (packages) {
  const found = packages.map(name => [name, JSON.parse(readFileSync(join(process.env.NODE_PATH, name, 'package.json'))).version])
  console.log(JSON.stringify({ ...Object.fromEntries(found), node: process.versions.node }))
}

async function main ({ packages, install, enqueue, work }) {
  const [, , dsn, command, count] = process.argv
  try {
    if (command === 'versions') versions(packages)
    else await { install, work, enqueue: () => enqueue(dsn, +count) }[command](dsn)
    process.exit(0)
  } catch (error) {
    console.error(error.stack || error)
    process.exit(1)
  }
}

module.exports = { BULK, main, measured }
