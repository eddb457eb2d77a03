// Package agent is what the agents written in Go share: reading commands, answering them, reporting.
// ../../matrix.py describes the protocol.
package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
)

// Record is one record, to be sent or as it was read. Headers are text.
type Record struct {
	Partition int               `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp int64             `json:"timestamp"`
	Key       string            `json:"key"`
	Value     string            `json:"value"`
	Headers   map[string]string `json:"headers"`
}

// Command holds the fields of every command; each uses some of them.
type Command struct {
	Do         string   `json:"do"`
	Topic      string   `json:"topic"`
	Partitions int      `json:"partitions"`
	Partition  int      `json:"partition"`
	Timestamp  int64    `json:"timestamp"`
	Codec      string   `json:"codec"`
	Records    []Record `json:"records"`
	Member     string   `json:"member"`
	Group      string   `json:"group"`
}

// Found is the answer to a look-up by timestamp.
type Found struct {
	Offset int64  `json:"offset"`
	Value  string `json:"value"`
}

// Library is what a client library is asked to do. Join returns once the member is under way, and the
// function that makes it leave.
type Library interface {
	Create(topic string, partitions int) error
	Describe(topic string) (partitions int, err error)
	Delete(topic string) error
	Produce(topic, codec string, records []Record) error
	Join(member Member, group, topic string) (leave func() error, err error)
	ByTimestamp(topic string, partition int, timestamp int64) (Found, error)
}

// Member reports what happens to one member of a group.
type Member string

// Owns reports the whole assignment of now.
func (m Member) Owns(partitions []int) {
	slices.Sort(partitions)
	say(map[string]any{"member": m, "owns": append([]int{}, partitions...)})
}

// Read reports one record.
func (m Member) Read(record Record) {
	say(map[string]any{"member": m, "record": record})
}

var output sync.Mutex

func say(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

// Serve answers commands until the input ends. The version printed is the one that was linked.
func Serve(module string, codecs []string, tells bool, library Library) {
	say(map[string]any{
		"client": module + " " + version(module),
		"codecs": codecs,
		"can":    []string{"create", "describe", "delete", "timestamp", "stamp"},
		"tells":  tells,
	})
	leaves := map[string]func() error{}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		var command Command
		if err := json.Unmarshal(line, &command); err != nil {
			panic(err)
		}
		answer, err := perform(library, leaves, command)
		if err != nil {
			say(map[string]any{"failed": err.Error()})
		} else {
			say(map[string]any{"ok": answer})
		}
	}
}

func perform(library Library, leaves map[string]func() error, command Command) (any, error) {
	switch command.Do {
	case "create":
		return nil, library.Create(command.Topic, command.Partitions)
	case "describe":
		partitions, err := library.Describe(command.Topic)
		return map[string]int{"partitions": partitions}, err
	case "delete":
		return nil, library.Delete(command.Topic)
	case "produce":
		return nil, library.Produce(command.Topic, command.Codec, command.Records)
	case "timestamp":
		return library.ByTimestamp(command.Topic, command.Partition, command.Timestamp)
	case "join":
		leave, err := library.Join(Member(command.Member), command.Group, command.Topic)
		leaves[command.Member] = leave
		return nil, err
	case "leave":
		return nil, leaves[command.Member]()
	}
	return nil, fmt.Errorf("unknown command %q", command.Do)
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "of an unknown version"
}
