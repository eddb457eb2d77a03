// What the agents written in JavaScript share: reading commands, answering them, reporting.
// ../matrix.py describes the protocol.
//
// The libraries lie beside the node binary that setup.sh installs, and are loaded from there.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

export const require = createRequire(process.execPath)
export const bootstrap = process.argv[2]

export function say (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

export function version (name) {
  const [folder] = require.resolve.paths(name).filter(each => process.execPath.startsWith(each))
  return `${name} ${JSON.parse(readFileSync(`${folder}/${name}/package.json`)).version}`
}

// Answers the commands of the driver with the functions of `commands` until the input ends.
export async function serve (about, commands) {
  say(about)
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line)
    try {
      say({ ok: (await commands[command.do](command)) ?? null })
    } catch (error) {
      say({ failed: String(error.stack ?? error) })
    }
  }
  process.exit(0)
}
