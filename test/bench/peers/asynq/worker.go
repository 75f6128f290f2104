package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net"
	"slices"
	"sync"

	"github.com/hibiken/asynq"
)

type worker struct {
	mu       sync.Mutex
	tally    []byte
	fromCall []float64
	handled  int64
	settled  int64
	firstUs  int64
	lastUs   int64
	gate     net.Conn
}

func runWorker(config Config) {
	gate, err := net.Dial("unix", config.Gate)
	if err != nil {
		fatal(err)
	}
	w := &worker{gate: gate}
	server := asynq.NewServer(
		asynq.RedisClientOpt{Addr: config.Target},
		asynq.Config{Concurrency: config.Concurrency, LogLevel: asynq.FatalLevel},
	)
	if err := server.Start(asynq.HandlerFunc(w.handle)); err != nil {
		fatal(err)
	}
	serve(map[string]func(Command) Answer{
		"state":     w.state,
		"mark":      w.mark,
		"latencies": w.latencies,
		"tally": func(Command) Answer {
			w.mu.Lock()
			defer w.mu.Unlock()
			return Answer{"counts": base64.StdEncoding.EncodeToString(w.tally)}
		},
	})
}

func (w *worker) handle(_ context.Context, task *asynq.Task) error {
	atUs := nowUs()
	var body struct{ N, CallUs int64 }
	fields := []any{&body.N, &body.CallUs}
	if err := json.Unmarshal(task.Payload(), &fields); err != nil {
		fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for int64(len(w.tally)) <= body.N {
		w.tally = append(w.tally, make([]byte, max(1024, len(w.tally)))...)
	}
	w.tally[body.N]++
	w.fromCall = append(w.fromCall, float64(atUs-body.CallUs))
	w.handled++
	w.settled++
	if w.firstUs == 0 {
		w.firstUs = atUs
	}
	w.lastUs = atUs
	// The producer has left first when this fails.
	_ = binary.Write(w.gate, binary.LittleEndian, uint32(1))
	return nil
}

func (w *worker) state(Command) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Answer{
		"handled": w.handled, "settled": w.settled, "atUs": nowUs(),
		"firstUs": w.firstUs, "lastUs": w.lastUs, "settledUs": w.lastUs, "gapUs": 0,
	}
}

func (w *worker) mark(Command) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fromCall, w.firstUs = nil, 0
	return nil
}

func (w *worker) latencies(Command) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	sorted := slices.Clone(w.fromCall)
	slices.Sort(sorted)
	rank := func(fraction float64) float64 {
		return sorted[max(1, int(math.Ceil(fraction*float64(len(sorted)))))-1]
	}
	if len(sorted) == 0 {
		return Answer{}
	}
	values := Answer{
		"count": len(sorted), "min": rank(0), "p50": rank(0.5), "p99": rank(0.99), "p999": rank(0.999), "max": rank(1),
	}
	return Answer{"fromCall": values, "fromDue": values}
}
