// The franz-go client with its default settings: an idempotent producer with acks=all, direct consuming.
//
//	franz-go-suite HOST:PORT TOPIC
//
// Every check prints one line, `ok franz-go: NAME` or `FAIL franz-go: NAME: why`.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	records = 500
	stepMs  = 10
	timeout = 30 * time.Second
)

var codecs = []struct {
	name  string
	codec kgo.CompressionCodec
}{
	{"none", kgo.NoCompression()},
	{"gzip", kgo.GzipCompression()},
	{"snappy", kgo.SnappyCompression()},
	{"lz4", kgo.Lz4Compression()},
	{"zstd", kgo.ZstdCompression()},
}

type suite struct {
	bootstrap, topic string
	baseMs           int64
	total            int
	failed           int
}

func main() {
	s := &suite{
		bootstrap: os.Args[1],
		topic:     os.Args[2],
		baseMs:    time.Now().UnixMilli() - 3_600_000,
		total:     len(codecs) * records,
	}
	s.run()
	if s.failed > 0 {
		os.Exit(1)
	}
}

func (s *suite) run() {
	s.check("create topic", func(ctx context.Context) error { return s.create(ctx, 2) })
	for at, c := range codecs {
		s.check("produce "+c.name, func(ctx context.Context) error { return s.produce(ctx, at*records, c.codec) })
	}
	s.check("start and end offsets", func(ctx context.Context) error { return s.bounds(ctx, 0, int64(s.total)) })
	s.check("consume from the start by assignment, content, order, offsets", func(ctx context.Context) error {
		return s.consume(ctx, kgo.NewOffset().AtStart(), 0)
	})
	for at, c := range codecs {
		middle := at*records + 237
		s.check("from the middle of a batch, "+c.name, func(ctx context.Context) error {
			return s.consume(ctx, kgo.NewOffset().At(int64(middle)), middle)
		})
	}
	s.check("by timestamp", s.byTimestamp)
	s.check("ten before the end", func(ctx context.Context) error {
		return s.consume(ctx, kgo.NewOffset().AtEnd().Relative(-10), s.total-10)
	})
	s.check("delete topic", s.delete)
	s.check("create it again, empty", func(ctx context.Context) error {
		if err := s.create(ctx, 1); err != nil {
			return err
		}
		return s.bounds(ctx, 0, 0)
	})
	s.check("delete it again", s.delete)
}

func (s *suite) check(name string, body func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := body(ctx); err != nil {
		s.failed++
		fmt.Printf("FAIL franz-go: %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok franz-go: %s\n", name)
}

func (s *suite) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(s.bootstrap))...)
}

// withAdmin runs a body with an admin client of its own.
func (s *suite) withAdmin(body func(*kadm.Client) error) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return body(kadm.NewClient(client))
}

func (s *suite) create(ctx context.Context, partitions int32) error {
	return s.withAdmin(func(admin *kadm.Client) error {
		if _, err := admin.CreateTopic(ctx, partitions, 1, nil, s.topic); err != nil {
			return err
		}
		return s.waitForTopic(ctx, admin, true)
	})
}

func (s *suite) delete(ctx context.Context) error {
	return s.withAdmin(func(admin *kadm.Client) error {
		if _, err := admin.DeleteTopic(ctx, s.topic); err != nil {
			return err
		}
		return s.waitForTopic(ctx, admin, false)
	})
}

func (s *suite) waitForTopic(ctx context.Context, admin *kadm.Client, present bool) error {
	for {
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			return err
		}
		if topics.Has(s.topic) == present {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *suite) record(offset int) *kgo.Record {
	codec, index := codecs[offset/records].name, offset%records
	return &kgo.Record{
		Topic:     s.topic,
		Partition: 0,
		Key:       fmt.Appendf(nil, "k%d", index),
		Value:     fmt.Appendf(nil, "%s record %d %s", codec, index, strings.Repeat("abcdefghij", index*37%70)),
		Headers:   []kgo.RecordHeader{{Key: "codec", Value: []byte(codec)}},
		Timestamp: time.UnixMilli(s.baseMs + int64(offset*stepMs)),
	}
}

func (s *suite) produce(ctx context.Context, start int, codec kgo.CompressionCodec) error {
	client, err := s.client(kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	var batch []*kgo.Record
	for offset := start; offset < start+records; offset++ {
		batch = append(batch, s.record(offset))
	}
	for at, result := range client.ProduceSync(ctx, batch...) {
		if result.Err != nil {
			return result.Err
		}
		if want := int64(start + at); result.Record.Offset != want {
			return fmt.Errorf("acknowledged offset %d, expected %d", result.Record.Offset, want)
		}
	}
	return nil
}

// consume reads partition 0 from the given place to the end and compares every record.
func (s *suite) consume(ctx context.Context, from kgo.Offset, start int) error {
	places := map[string]map[int32]kgo.Offset{s.topic: {0: from}}
	client, err := s.client(kgo.ConsumePartitions(places))
	if err != nil {
		return err
	}
	defer client.Close()
	for next := start; next < s.total; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, got := range fetches.Records() {
			if err := same(got, s.record(next), int64(next)); err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

func same(got, want *kgo.Record, offset int64) error {
	switch {
	case got.Offset != offset:
		return fmt.Errorf("offset %d, expected %d", got.Offset, offset)
	case string(got.Key) != string(want.Key), string(got.Value) != string(want.Value):
		return fmt.Errorf("other content at offset %d: %.80q", offset, got.Value)
	case !got.Timestamp.Equal(want.Timestamp):
		return fmt.Errorf("timestamp %v at offset %d, expected %v", got.Timestamp, offset, want.Timestamp)
	case !slices.EqualFunc(got.Headers, want.Headers, sameHeader):
		return fmt.Errorf("other headers at offset %d", offset)
	}
	return nil
}

func sameHeader(a, b kgo.RecordHeader) bool {
	return a.Key == b.Key && string(a.Value) == string(b.Value)
}

func (s *suite) bounds(ctx context.Context, start, end int64) error {
	return s.withAdmin(func(admin *kadm.Client) error {
		starts, err := admin.ListStartOffsets(ctx, s.topic)
		if err != nil {
			return err
		}
		ends, err := admin.ListEndOffsets(ctx, s.topic)
		if err != nil {
			return err
		}
		first, _ := starts.Lookup(s.topic, 0)
		last, _ := ends.Lookup(s.topic, 0)
		if first.Offset != start || last.Offset != end || first.Err != nil || last.Err != nil {
			return fmt.Errorf("offsets %d to %d, expected %d to %d", first.Offset, last.Offset, start, end)
		}
		return nil
	})
}

func (s *suite) byTimestamp(ctx context.Context) error {
	// kadm answers a timestamp after all records with the end offset.
	expected := map[int64]int64{-1000: 0, 0: 0, 237 * stepMs: 237, 777*stepMs - 1: 777, int64(s.total) * stepMs: int64(s.total)}
	err := s.withAdmin(func(admin *kadm.Client) error {
		for after, want := range expected {
			listed, err := admin.ListOffsetsAfterMilli(ctx, s.baseMs+after, s.topic)
			if err != nil {
				return err
			}
			if got, _ := listed.Lookup(s.topic, 0); got.Offset != want || got.Err != nil {
				return fmt.Errorf("offset %d for %d ms, expected %d", got.Offset, after, want)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.consume(ctx, kgo.NewOffset().AfterMilli(s.baseMs+777*stepMs), 777)
}
