// Produces Avro records with kafkajs and its registry client: shares no code with Polis.
//   node produce.mjs BROKER REGISTRY_URL TOPIC < JSON      {"id": of the schema, "records": [...], "key", "headers"}
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

// Node looks for packages from here, wherever this file lies.
const require = createRequire(process.env.CLIENT_PACKAGES + '/')
const { Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry } = require('@kafkajs/confluent-schema-registry')

const [broker, host, topic] = process.argv.slice(2)
// {"hex": "..."} stands for bytes.
const revive = (_, value) => (typeof value?.hex === 'string' ? Buffer.from(value.hex, 'hex') : value)
const order = JSON.parse(readFileSync(0, 'utf8'), revive)
const registry = new SchemaRegistry({ host })
const { id } = order
const messages = await Promise.all(
  order.records.map(async (record) => ({
    key: order.key,
    headers: order.headers,
    value: await registry.encode(id, record),
  })),
)
const producer = new Kafka({ clientId: 'kafkajs', brokers: [broker], logLevel: logLevel.ERROR }).producer()
await producer.connect()
await producer.send({ topic, messages })
await producer.disconnect()
console.log(JSON.stringify({ id, frames: messages.map((message) => message.value.toString('hex')) }))
