// franz-go as it is: writes records, reads them in a group of two, commits, and goes on from there.
//
// Arguments: host:port, topic (made before), group, number of records.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 90 * time.Second

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("usage: client HOST:PORT TOPIC GROUP COUNT")
	}
	bootstrap, topic, group := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for _, first := range []int{0, count} {
		if err := produce(ctx, bootstrap, topic, first, count); err != nil {
			log.Fatalf("produce: %v", err)
		}
		if err := consume(ctx, bootstrap, topic, group, first, count); err != nil {
			log.Fatalf("consume: %v", err)
		}
	}
	fmt.Println("ok")
}

func produce(ctx context.Context, bootstrap, topic string, first, count int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for i := first; i < first+count; i++ {
		text := []byte(strconv.Itoa(i))
		records = append(records, &kgo.Record{Key: text, Value: text})
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// What the members of the group have read and own.
type progress struct {
	sync.Mutex
	seen  map[int]bool
	owned [2]int
	err   error
}

func (p *progress) owns(member, change int) {
	p.Lock()
	defer p.Unlock()
	p.owned[member] += change
}

// Reads with two members until both own partitions and all is read.
func consume(ctx context.Context, bootstrap, topic, group string, first, count int) error {
	var p progress
	p.seen = map[int]bool{}
	reading, stop := context.WithTimeout(ctx, patience)
	defer stop()
	var running, committing sync.WaitGroup
	committing.Add(2)
	for member := range 2 {
		change := func(sign int) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
				p.owns(member, sign*len(partitions[topic]))
			}
		}
		client, err := kgo.NewClient(
			kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
			kgo.OnPartitionsAssigned(change(1)), kgo.OnPartitionsLost(change(-1)),
			kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
				if err := client.CommitUncommittedOffsets(ctx); err != nil {
					log.Printf("commit: %v", err)
				}
				p.owns(member, -len(partitions[topic]))
			}),
		)
		if err != nil {
			return err
		}
		running.Add(1)
		go func() {
			defer running.Done()
			defer client.Close()
			read(reading, stop, client, &p, count)
			// Who leaves begins a rebalance, in which a commit is refused.
			committing.Done()
			committing.Wait()
		}()
	}
	running.Wait()
	if p.err != nil {
		return p.err
	}
	for i := first; i < first+count; i++ {
		if !p.seen[i] {
			return fmt.Errorf("record %d did not come", i)
		}
	}
	if len(p.seen) != count {
		return fmt.Errorf("%d records came again", len(p.seen)-count)
	}
	return nil
}

// Reads until the group is done, which the last one notices, and commits.
func read(ctx context.Context, stop func(), client *kgo.Client, p *progress, count int) {
	for ctx.Err() == nil {
		waiting, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := client.PollFetches(waiting)
		cancel()
		p.Lock()
		fetches.EachRecord(func(record *kgo.Record) {
			value, err := strconv.Atoi(string(record.Value))
			if err != nil {
				p.err = err
			}
			p.seen[value] = true
		})
		done := len(p.seen) >= count && p.owned[0] > 0 && p.owned[1] > 0
		p.Unlock()
		if done {
			stop()
		}
	}
	if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
		p.Lock()
		p.err = err
		p.Unlock()
	}
}
