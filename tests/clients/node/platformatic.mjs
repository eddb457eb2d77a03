// @platformatic/kafka as an agent of ../matrix.py.

import { bootstrap, require, say, serve, version } from './agent.mjs'

const { Admin, Consumer, MessagesStreamFallbackModes, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } =
  require('@platformatic/kafka')

const address = { clientId: 'agent', bootstrapBrokers: [bootstrap] }
const members = new Map()

async function using (client, body) {
  try {
    return await body(client)
  } finally {
    await client.close()
  }
}

const withAdmin = body => using(new Admin(address), body)

function read (message) {
  return {
    partition: message.partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: Object.fromEntries(message.headers)
  }
}

await serve({
  client: version('@platformatic/kafka'),
  codecs: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
  can: ['create', 'describe', 'delete', 'timestamp', 'stamp'],
  // It does not say when the broker changes an assignment in the newer protocol.
  tells: { classic: true, consumer: false },
  // It hands on what a long poll of before a rebalance brings, which takes up to five seconds to end.
  settle: 6
}, {
  create: ({ topic, partitions }) => withAdmin(async admin => {
    await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  }),

  describe: ({ topic }) => withAdmin(async admin => {
    const { topics } = await admin.metadata({ topics: [topic] })
    return { partitions: topics.get(topic).partitionsCount }
  }),

  delete: ({ topic }) => withAdmin(admin => admin.deleteTopics({ topics: [topic] })),

  produce: ({ topic, codec, records }) => using(new Producer({ ...address, serializers: stringSerializers }), async producer => {
    const messages = records.map(record => ({ topic, ...record, timestamp: BigInt(record.timestamp) }))
    await producer.send({ messages, compression: codec })
  }),

  async join ({ member, group, topic, protocol }) {
    const choice = protocol ? { groupProtocol: protocol } : {}
    const consumer = new Consumer({ ...address, ...choice, groupId: group, deserializers: stringDeserializers })
    if (protocol !== 'consumer') {
      consumer.on('consumer:group:join', ({ assignments }) => {
        say({ member, owns: assignments.filter(each => each.topic === topic).flatMap(each => each.partitions) })
      })
      consumer.on('consumer:group:rebalance', () => say({ member, owns: [] }))
    }
    // The first stream waits until the group has taken the member in, which the driver does not.
    const joined = consumer.consume({
      topics: [topic],
      mode: MessagesStreamModes.COMMITTED,
      fallbackMode: MessagesStreamFallbackModes.EARLIEST
    }).then(stream => {
      stream.on('data', message => say({ member, record: read(message) }))
      stream.on('error', error => console.error(`${member}: ${error.stack}`))
      return stream
    })
    members.set(member, { consumer, joined })
  },

  async leave ({ member }) {
    const { consumer, joined } = members.get(member)
    const stream = await joined
    await stream.close() // which commits; closing the consumer by force would not
    await consumer.close()
    members.delete(member)
  },

  timestamp: ({ topic, partition, timestamp }) => {
    const consumer = new Consumer({ ...address, groupId: `${topic}-by-timestamp`, deserializers: stringDeserializers })
    return using({ close: () => consumer.close(true) }, async () => {
      const places = await consumer.listOffsetsWithTimestamps({
        topics: [topic], partitions: { [topic]: [partition] }, timestamp: BigInt(timestamp)
      })
      const { offset } = places.get(topic).get(partition)
      const stream = await consumer.consume({
        topics: [topic], mode: MessagesStreamModes.MANUAL, offsets: [{ topic, partition, offset }],
        fallbackMode: MessagesStreamFallbackModes.LATEST
      })
      for await (const message of stream) {
        if (message.partition === partition) return { offset: Number(message.offset), value: message.value }
      }
    })
  }
})
