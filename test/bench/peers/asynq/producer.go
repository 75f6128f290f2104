package main

import (
	"encoding/json"
	"math/rand"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

const (
	taskType = "bench-0"
	// Goroutines that call Enqueue. More did not enqueue faster.
	callers           = 64
	unacknowledgedMax = 20_000
	unlimited         = int64(1) << 62
)

// Body is what a task carries: its number, when enqueue was called, when it was due, padding.
type Body = [4]any

type producer struct {
	mu             sync.Mutex
	moved          *sync.Cond
	client         *asynq.Client
	padding        string
	window         int64
	limit          int64
	unacknowledged int64
	sent           int64
	acknowledged   int64
	settled        int64
	numbers        chan int64
}

func runProducer(config Config) {
	bare, _ := json.Marshal(Body{1_000_000, nowUs(), nowUs(), ""})
	p := &producer{
		client:         asynq.NewClient(asynq.RedisClientOpt{Addr: config.Target, PoolSize: callers}),
		padding:        strings.Repeat("x", max(0, config.PayloadBytes-len(bare))),
		limit:          unlimited,
		unacknowledged: unacknowledgedMax,
		numbers:        make(chan int64, callers),
	}
	p.moved = sync.NewCond(&p.mu)
	if err := p.client.Ping(); err != nil {
		fatal(err)
	}
	go readGate(config.Gate, func(count int64) { p.change(func() { p.settled += count }) })
	go p.deal()
	for range callers {
		go p.call()
	}
	serve(map[string]func(Command) Answer{
		"state": func(Command) Answer {
			p.mu.Lock()
			defer p.mu.Unlock()
			return Answer{"sent": p.sent, "acknowledged": p.acknowledged, "settled": p.settled, "atUs": nowUs()}
		},
		"window":  func(c Command) Answer { p.change(func() { p.window = c.Size }); return nil },
		"send":    p.send,
		"singles": p.singles,
		"idle": func(Command) Answer {
			p.until(func() bool { return p.acknowledged == p.sent && p.settled == p.sent })
			return nil
		},
	})
}

func (p *producer) change(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
	p.moved.Broadcast()
}

func (p *producer) until(condition func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !condition() {
		p.moved.Wait()
	}
}

// deal hands out the numbers of tasks, as long as the bounds allow.
func (p *producer) deal() {
	for {
		p.mu.Lock()
		for p.sent-p.settled >= p.window || p.sent >= p.limit || p.sent-p.acknowledged >= p.unacknowledged {
			p.moved.Wait()
		}
		n := p.sent
		p.sent++
		p.mu.Unlock()
		p.numbers <- n
	}
}

// call enqueues one task after the other.
func (p *producer) call() {
	for n := range p.numbers {
		atUs := nowUs()
		payload, _ := json.Marshal(Body{n, atUs, atUs, p.padding})
		if _, err := p.client.Enqueue(asynq.NewTask(taskType, payload)); err != nil {
			fatal(err)
		}
		p.change(func() { p.acknowledged++ })
	}
}

func (p *producer) send(c Command) Answer {
	fromUs := nowUs()
	p.change(func() {
		p.limit = p.sent + c.Count
		p.window = unlimited
		if c.Unacknowledged > 0 {
			p.unacknowledged = c.Unacknowledged
		}
	})
	p.until(func() bool { return p.acknowledged == p.limit })
	toUs := nowUs()
	p.change(func() { p.window, p.limit, p.unacknowledged = 0, unlimited, unacknowledgedMax })
	return Answer{"fromUs": fromUs, "toUs": toUs}
}

func (p *producer) singles(c Command) Answer {
	endUs := nowUs() + int64(c.Seconds*1e6)
	for i := int64(0); i < c.Count && nowUs() < endUs; i++ {
		p.change(func() { p.limit, p.window = p.sent+1, unlimited })
		p.until(func() bool { return p.acknowledged == p.limit && p.settled == p.sent })
		time.Sleep(time.Duration(c.PauseMs * (0.5 + rand.Float64()) * float64(time.Millisecond)))
	}
	p.change(func() { p.window, p.limit = 0, unlimited })
	return nil
}
