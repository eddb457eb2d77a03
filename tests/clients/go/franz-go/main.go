// franz-go as an agent of ../../matrix.py.
package main

import (
	"context"
	"os"
	"sync"
	"time"

	"kafscale-agents/agent"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

type library struct{ bootstrap string }

func main() {
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	agent.Serve("github.com/twmb/franz-go", names, true, library{os.Args[1]})
}

func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func (l library) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(l.bootstrap))...)
}

func (l library) withAdmin(body func(context.Context, *kadm.Client) error) error {
	client, err := l.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := patience()
	defer cancel()
	return body(ctx, kadm.NewClient(client))
}

func (l library) Create(topic string, partitions int) error {
	return l.withAdmin(func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.CreateTopic(ctx, int32(partitions), 1, nil, topic)
		return err
	})
}

func (l library) Describe(topic string) (partitions int, err error) {
	err = l.withAdmin(func(ctx context.Context, admin *kadm.Client) error {
		topics, err := admin.ListTopics(ctx, topic)
		partitions = len(topics[topic].Partitions)
		return err
	})
	return partitions, err
}

func (l library) Delete(topic string) error {
	return l.withAdmin(func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.DeleteTopic(ctx, topic)
		return err
	})
}

func (l library) Produce(topic, codec string, records []agent.Record) error {
	client, err := l.client(kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := patience()
	defer cancel()
	var batch []*kgo.Record
	for _, each := range records {
		record := &kgo.Record{
			Topic:     topic,
			Partition: int32(each.Partition),
			Key:       []byte(each.Key),
			Value:     []byte(each.Value),
			Timestamp: time.UnixMilli(each.Timestamp),
		}
		for name, value := range each.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		batch = append(batch, record)
	}
	return client.ProduceSync(ctx, batch...).FirstErr()
}

// owned is one member's assignment, put together from what it gains and loses.
type owned struct {
	sync.Mutex
	member     agent.Member
	topic      string
	partitions map[int32]bool
}

func (o *owned) change(changed map[string][]int32, have bool) {
	o.Lock()
	defer o.Unlock()
	for _, partition := range changed[o.topic] {
		if have {
			o.partitions[partition] = true
		} else {
			delete(o.partitions, partition)
		}
	}
	var now []int
	for partition := range o.partitions {
		now = append(now, int(partition))
	}
	o.member.Owns(now)
}

func (l library) Join(member agent.Member, group, topic string) (func() error, error) {
	assignment := &owned{member: member, topic: topic, partitions: map[int32]bool{}}
	gained := func(_ context.Context, _ *kgo.Client, changed map[string][]int32) { assignment.change(changed, true) }
	lost := func(_ context.Context, _ *kgo.Client, changed map[string][]int32) { assignment.change(changed, false) }
	// Whoever wants to be told of a revocation has to commit in it, which the library does otherwise.
	revoked := func(ctx context.Context, client *kgo.Client, changed map[string][]int32) {
		client.CommitUncommittedOffsets(ctx)
		assignment.change(changed, false)
	}
	client, err := l.client(
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(gained), kgo.OnPartitionsRevoked(revoked), kgo.OnPartitionsLost(lost),
	)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { member.Read(read(record)) })
		}
	}()
	return func() error {
		cancel()
		<-ended
		client.Close()
		return nil
	}, nil
}

func read(record *kgo.Record) agent.Record {
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[header.Key] = string(header.Value)
	}
	return agent.Record{
		Partition: int(record.Partition),
		Offset:    record.Offset,
		Timestamp: record.Timestamp.UnixMilli(),
		Key:       string(record.Key),
		Value:     string(record.Value),
		Headers:   headers,
	}
}

func (l library) ByTimestamp(topic string, partition int, timestamp int64) (agent.Found, error) {
	place := map[string]map[int32]kgo.Offset{topic: {int32(partition): kgo.NewOffset().AfterMilli(timestamp)}}
	client, err := l.client(kgo.ConsumePartitions(place))
	if err != nil {
		return agent.Found{}, err
	}
	defer client.Close()
	ctx, cancel := patience()
	defer cancel()
	fetches := client.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		return agent.Found{}, err
	}
	first := fetches.Records()[0]
	return agent.Found{Offset: first.Offset, Value: string(first.Value)}, nil
}
