// segmentio/kafka-go as an agent of ../../matrix.py. Its Reader does not tell which partitions it owns.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"kafscale-agents/agent"

	"github.com/segmentio/kafka-go"
)

var codecs = map[string]kafka.Compression{
	"gzip":   kafka.Gzip,
	"snappy": kafka.Snappy,
	"lz4":    kafka.Lz4,
	"zstd":   kafka.Zstd,
}

type library struct {
	bootstrap string
	client    *kafka.Client
}

func main() {
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	client := &kafka.Client{Addr: kafka.TCP(os.Args[1])}
	agent.Serve("github.com/segmentio/kafka-go", names, false, library{os.Args[1], client})
}

func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func (l library) Create(topic string, partitions int) error {
	ctx, cancel := patience()
	defer cancel()
	wanted := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	answer, err := l.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{wanted}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (l library) Describe(topic string) (int, error) {
	ctx, cancel := patience()
	defer cancel()
	answer, err := l.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	return len(answer.Topics[0].Partitions), answer.Topics[0].Error
}

func (l library) Delete(topic string) error {
	ctx, cancel := patience()
	defer cancel()
	answer, err := l.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

// chosen sends each message to the partition that its writer data names.
type chosen struct{}

func (chosen) Balance(message kafka.Message, _ ...int) int { return message.WriterData.(int) }

func (l library) Produce(topic, codec string, records []agent.Record) error {
	writer := &kafka.Writer{
		Addr: kafka.TCP(l.bootstrap), Topic: topic, Balancer: chosen{}, Compression: codecs[codec],
	}
	defer writer.Close()
	ctx, cancel := patience()
	defer cancel()
	var messages []kafka.Message
	for _, each := range records {
		message := kafka.Message{
			WriterData: each.Partition,
			Key:        []byte(each.Key),
			Value:      []byte(each.Value),
			Time:       time.UnixMilli(each.Timestamp),
		}
		for name, value := range each.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: name, Value: []byte(value)})
		}
		messages = append(messages, message)
	}
	return writer.WriteMessages(ctx, messages...)
}

func (l library) Join(member agent.Member, group, topic string) (func() error, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{l.bootstrap}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset,
	})
	ended := make(chan error, 1)
	go func() {
		for {
			// ReadMessage commits what it returns.
			message, err := reader.ReadMessage(context.Background())
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				ended <- err
				return
			}
			headers := map[string]string{}
			for _, header := range message.Headers {
				headers[header.Key] = string(header.Value)
			}
			member.Read(agent.Record{
				Partition: message.Partition,
				Offset:    message.Offset,
				Timestamp: message.Time.UnixMilli(),
				Key:       string(message.Key),
				Value:     string(message.Value),
				Headers:   headers,
			})
		}
	}()
	return func() error { return errors.Join(reader.Close(), <-ended) }, nil
}

func (l library) ByTimestamp(topic string, partition int, timestamp int64) (agent.Found, error) {
	ctx, cancel := patience()
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{l.bootstrap}, Topic: topic, Partition: partition})
	defer reader.Close()
	if err := reader.SetOffsetAt(ctx, time.UnixMilli(timestamp)); err != nil {
		return agent.Found{}, fmt.Errorf("seeking: %w", err)
	}
	message, err := reader.ReadMessage(ctx)
	return agent.Found{Offset: message.Offset, Value: string(message.Value)}, err
}
