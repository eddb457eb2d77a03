// sarama as an agent of ../../matrix.py.
package main

import (
	"context"
	"os"
	"time"

	"kafscale-agents/agent"

	"github.com/IBM/sarama"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

type library struct{ brokers []string }

func main() {
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	agent.Serve("github.com/IBM/sarama", names, true, library{[]string{os.Args[1]}})
}

func (l library) withAdmin(body func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin(l.brokers, sarama.NewConfig())
	if err != nil {
		return err
	}
	defer admin.Close()
	return body(admin)
}

func (l library) Create(topic string, partitions int) error {
	return l.withAdmin(func(admin sarama.ClusterAdmin) error {
		return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1}, false)
	})
}

func (l library) Describe(topic string) (partitions int, err error) {
	err = l.withAdmin(func(admin sarama.ClusterAdmin) error {
		described, err := admin.DescribeTopics([]string{topic})
		if err == nil {
			partitions = len(described[0].Partitions)
		}
		return err
	})
	return partitions, err
}

func (l library) Delete(topic string) error {
	return l.withAdmin(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic) })
}

func (l library) Produce(topic, codec string, records []agent.Record) error {
	config := sarama.NewConfig()
	config.Producer.Compression = codecs[codec]
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true // the synchronous producer demands it
	producer, err := sarama.NewSyncProducer(l.brokers, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for _, each := range records {
		message := &sarama.ProducerMessage{
			Topic:     topic,
			Partition: int32(each.Partition),
			Key:       sarama.StringEncoder(each.Key),
			Value:     sarama.StringEncoder(each.Value),
			Timestamp: time.UnixMilli(each.Timestamp),
		}
		for name, value := range each.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(name), Value: []byte(value)})
		}
		messages = append(messages, message)
	}
	return producer.SendMessages(messages)
}

// handler reports sessions: the library calls Setup with an assignment and Cleanup before it is given up.
type handler struct{ member agent.Member }

func (h handler) Setup(session sarama.ConsumerGroupSession) error {
	var partitions []int
	for _, claims := range session.Claims() {
		for _, partition := range claims {
			partitions = append(partitions, int(partition))
		}
	}
	h.member.Owns(partitions)
	return nil
}

func (h handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.member.Owns(nil)
	return nil
}

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			headers := map[string]string{}
			for _, header := range message.Headers {
				headers[string(header.Key)] = string(header.Value)
			}
			h.member.Read(agent.Record{
				Partition: int(message.Partition),
				Offset:    message.Offset,
				Timestamp: message.Timestamp.UnixMilli(),
				Key:       string(message.Key),
				Value:     string(message.Value),
				Headers:   headers,
			})
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func (l library) Join(member agent.Member, group, topic string) (func() error, error) {
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	consumer, err := sarama.NewConsumerGroup(l.brokers, group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := consumer.Consume(ctx, []string{topic}, handler{member}); err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	return func() error {
		cancel()
		if err := <-ended; err != nil {
			return err
		}
		return consumer.Close()
	}, nil
}

func (l library) ByTimestamp(topic string, partition int, timestamp int64) (agent.Found, error) {
	client, err := sarama.NewClient(l.brokers, sarama.NewConfig())
	if err != nil {
		return agent.Found{}, err
	}
	defer client.Close()
	offset, err := client.GetOffset(topic, int32(partition), timestamp)
	if err != nil {
		return agent.Found{}, err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return agent.Found{}, err
	}
	defer consumer.Close()
	reading, err := consumer.ConsumePartition(topic, int32(partition), offset)
	if err != nil {
		return agent.Found{}, err
	}
	defer reading.Close()
	first := <-reading.Messages()
	return agent.Found{Offset: offset, Value: string(first.Value)}, nil
}
