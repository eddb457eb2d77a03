// kafkajs as an agent of ../matrix.py. Of codecs it has gzip; the others are plug-ins that are not maintained.

import { bootstrap, require, say, serve, version } from './agent.mjs'

const { CompressionTypes, Kafka, logLevel } = require('kafkajs')

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
// It logs every rebalance as an error; what fails is answered.
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING })
const members = new Map()

async function withAdmin (body) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await body(admin)
  } finally {
    await admin.disconnect()
  }
}

function read (partition, message) {
  const headers = Object.entries(message.headers).map(([name, data]) => [name, data.toString()])
  return {
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: message.key.toString(),
    value: message.value.toString(),
    headers: Object.fromEntries(headers)
  }
}

await serve({
  client: version('kafkajs'),
  codecs: ['none', 'gzip'],
  can: ['create', 'describe', 'delete', 'timestamp', 'stamp'],
  tells: true
}, {
  create: ({ topic, partitions }) =>
    withAdmin(admin => admin.createTopics({ topics: [{ topic, numPartitions: partitions }] })),

  describe: ({ topic }) => withAdmin(async admin => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return { partitions: topics[0].partitions.length }
  }),

  delete: ({ topic }) => withAdmin(admin => admin.deleteTopics({ topics: [topic] })),

  async produce ({ topic, codec, records }) {
    const producer = kafka.producer()
    await producer.connect()
    const compression = codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None
    const messages = records.map(record => ({ ...record, timestamp: String(record.timestamp) }))
    await producer.send({ topic, compression, messages })
    await producer.disconnect()
  },

  async join ({ member, group, topic }) {
    const consumer = kafka.consumer({ groupId: group })
    members.set(member, consumer)
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say({ member, owns: payload.memberAssignment[topic] ?? [] }))
    consumer.on(consumer.events.REBALANCING, () => say({ member, owns: [] }))
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message }) => say({ member, record: read(partition, message) })
    })
  },

  async leave ({ member }) {
    await members.get(member).disconnect()
    members.delete(member)
  },

  async timestamp ({ topic, partition, timestamp }) {
    const places = await withAdmin(admin => admin.fetchTopicOffsetsByTimestamp(topic, timestamp))
    const { offset } = places.find(place => place.partition === partition)
    // A place can be read only as a member of a group.
    const consumer = kafka.consumer({ groupId: `${topic}-by-timestamp` })
    await consumer.connect()
    await consumer.subscribe({ topic })
    const first = await new Promise((resolve, reject) => {
      consumer.run({
        eachMessage: async ({ partition: from, message }) => {
          if (from === partition) resolve(message)
        }
      }).catch(reject)
      consumer.seek({ topic, partition, offset })
    })
    await consumer.disconnect()
    return { offset: Number(first.offset), value: first.value.toString() }
  }
})
