// A load by franz-go. It prints one line of JSON.
//
//	franz-go-load produce -bootstrap H:P -topic T [-partitions N] -records N [-rate N]   as fast as it goes, or N records/s
//	              ... [-keys N]                                                          with keys, so many in each partition
//	franz-go-load closed  -bootstrap H:P -topic T -records N                             one record at a time, linger 0
//	franz-go-load e2e     -bootstrap H:P -topic T -partitions N -records N -rate N       time from send to receipt
//
// The producer has its default settings, but for compression: the value's bytes are random, so it is off, and
// what is counted is what is sent. Records are spread evenly over the partitions.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type load struct {
	bootstrap, topic string
	partitions       int
	records, rate    int
	size, keys       int
}

// result is what every mode prints; latencies are in milliseconds.
type result struct {
	Records int     `json:"records"`
	Bytes   int     `json:"bytes"`
	Seconds float64 `json:"seconds"`
	MiBPerS float64 `json:"mib_per_s"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	P999    float64 `json:"p999_ms"`
	Max     float64 `json:"max_ms"`
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: franz-go-load produce|closed|e2e -bootstrap H:P -topic T -records N"))
	}
	var l load
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&l.bootstrap, "bootstrap", "127.0.0.1:9092", "broker")
	flags.StringVar(&l.topic, "topic", "load", "topic, which exists")
	flags.IntVar(&l.partitions, "partitions", 1, "partitions of the topic to use")
	flags.IntVar(&l.records, "records", 100_000, "records to send")
	flags.IntVar(&l.rate, "rate", 0, "records per second; 0 is as fast as it goes")
	flags.IntVar(&l.size, "size", 1024, "bytes of each value")
	flags.IntVar(&l.keys, "keys", 0, "different keys in each partition; 0 is none at all")
	flags.Parse(os.Args[2:])
	modes := map[string]func(context.Context) (result, error){"produce": l.produce, "closed": l.closed, "e2e": l.e2e}
	mode, known := modes[os.Args[1]]
	if !known {
		fail(fmt.Errorf("unknown mode %s", os.Args[1]))
	}
	done, err := mode(context.Background())
	if err != nil {
		fail(err)
	}
	json.NewEncoder(os.Stdout).Encode(done)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (l *load) producer(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options,
		kgo.SeedBrokers(l.bootstrap),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
}

// value starts with the moment it was made, so that a consumer can tell how long it took.
func (l *load) record(noise []byte, number int) *kgo.Record {
	value := make([]byte, l.size)
	copy(value[8:], noise[rand.IntN(len(noise)-l.size):])
	binary.BigEndian.PutUint64(value, uint64(time.Now().UnixNano()))
	var key []byte
	if l.keys > 0 {
		key = binary.BigEndian.AppendUint64(nil, uint64(number/l.partitions%l.keys))
	}
	return &kgo.Record{Topic: l.topic, Partition: int32(number % l.partitions), Key: key, Value: value}
}

func noise() []byte {
	source := rand.NewChaCha8([32]byte{1})
	bytes := make([]byte, 4<<20)
	source.Read(bytes)
	return bytes
}

// latencies gathers durations from any goroutine.
type latencies struct {
	sync.Mutex
	ms  []float64
	err error
}

func (a *latencies) add(since time.Time, err error) {
	a.Lock()
	defer a.Unlock()
	a.ms = append(a.ms, time.Since(since).Seconds()*1000)
	if err != nil {
		a.err = err
	}
}

func (a *latencies) result(l *load, seconds float64) (result, error) {
	slices.Sort(a.ms)
	at := func(share float64) float64 { return a.ms[int(share*float64(len(a.ms)-1))] }
	bytes := len(a.ms) * l.size
	return result{
		Records: len(a.ms), Bytes: bytes, Seconds: seconds, MiBPerS: float64(bytes) / (1 << 20) / seconds,
		P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1),
	}, a.err
}

// send produces all records, at the rate asked for, and returns when each was answered.
func (l *load) send(ctx context.Context, answered *latencies) error {
	client, err := l.producer()
	if err != nil {
		return err
	}
	defer client.Close()
	bytes, start := noise(), time.Now()
	for number := range l.records {
		if l.rate > 0 {
			due := start.Add(time.Duration(number) * time.Second / time.Duration(l.rate))
			time.Sleep(time.Until(due))
		}
		sent := time.Now()
		client.Produce(ctx, l.record(bytes, number), func(_ *kgo.Record, err error) { answered.add(sent, err) })
	}
	return client.Flush(ctx)
}

func (l *load) produce(ctx context.Context) (result, error) {
	var answered latencies
	start := time.Now()
	if err := l.send(ctx, &answered); err != nil {
		return result{}, err
	}
	return answered.result(l, time.Since(start).Seconds())
}

func (l *load) closed(ctx context.Context) (result, error) {
	client, err := l.producer(kgo.ProducerLinger(0))
	if err != nil {
		return result{}, err
	}
	defer client.Close()
	bytes := noise()
	// The first record pays for the connection, the metadata and the producer id.
	if err := client.ProduceSync(ctx, l.record(bytes, 0)).FirstErr(); err != nil {
		return result{}, err
	}
	var answered latencies
	start := time.Now()
	for number := range l.records {
		sent := time.Now()
		answered.add(sent, client.ProduceSync(ctx, l.record(bytes, number)).FirstErr())
	}
	return answered.result(l, time.Since(start).Seconds())
}

func (l *load) e2e(ctx context.Context) (result, error) {
	places := map[int32]kgo.Offset{}
	for partition := range l.partitions {
		places[int32(partition)] = kgo.NewOffset().AtEnd()
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(l.bootstrap),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: places}))
	if err != nil {
		return result{}, err
	}
	defer consumer.Close()
	ready, stop := context.WithTimeout(ctx, 3*time.Second)
	consumer.PollFetches(ready) // finds the ends of the partitions before anything is sent
	stop()

	var received, answered latencies
	sent := make(chan error, 1)
	start := time.Now()
	go func() { sent <- l.send(ctx, &answered) }()
	patience, stop := context.WithTimeout(ctx, time.Duration(l.records/max(1, l.rate)+60)*time.Second)
	defer stop()
	for len(received.ms) < l.records {
		fetches := consumer.PollFetches(patience)
		if err := fetches.Err(); err != nil {
			return result{}, fmt.Errorf("after %d of %d records: %w", len(received.ms), l.records, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			received.add(time.Unix(0, int64(binary.BigEndian.Uint64(record.Value))), nil)
		})
	}
	if err := <-sent; err != nil {
		return result{}, err
	}
	return received.result(l, time.Since(start).Seconds())
}
