// Command asynq plays the producer's and the worker's role of the benchmarks
// with asynq. It speaks the protocol described in test/bench/role.ts: commands
// and answers in JSON, a line each, on standard input and output.
//
// asynq enqueues one task per call, so the producer calls from many goroutines.
// It does not tell when the completion of a task has been stored: here a task
// counts as done when its handler has returned, a little early.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Config is what the driver writes on the command line.
type Config struct {
	Target       string `json:"target"`
	Gate         string `json:"gate"`
	PayloadBytes int    `json:"payloadBytes"`
	Concurrency  int    `json:"concurrency"`
}

// Command is what the driver asks for.
type Command struct {
	ID             int     `json:"id"`
	Do             string  `json:"do"`
	Size           int64   `json:"size"`
	Count          int64   `json:"count"`
	Unacknowledged int64   `json:"unacknowledged"`
	PauseMs        float64 `json:"pauseMs"`
	Seconds        float64 `json:"seconds"`
}

// Answer goes back with the command's id.
type Answer map[string]any

// nowUs reads the clock that all processes of the machine share.
func nowUs() int64 {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		fatal(err)
	}
	return at.Nano() / 1000
}

func fatal(err error) {
	line, _ := json.Marshal(Answer{"fatal": err.Error()})
	fmt.Println(string(line))
	os.Exit(1)
}

// serve answers commands, each in a goroutine of its own, until the driver leaves.
func serve(handlers map[string]func(Command) Answer) {
	answers := make(chan Answer)
	go func() {
		out := json.NewEncoder(os.Stdout)
		for answer := range answers {
			if err := out.Encode(answer); err != nil {
				os.Exit(1)
			}
		}
	}()
	answers <- Answer{"ready": true}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var command Command
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			fatal(err)
		}
		handler, known := handlers[command.Do]
		if !known {
			fatal(fmt.Errorf("there is no command %q", command.Do))
		}
		go func() {
			answer := handler(command)
			if answer == nil {
				answer = Answer{}
			}
			answer["id"] = command.ID
			answers <- answer
		}()
	}
}

// readGate calls settled with each count that the workers write.
func readGate(path string, settled func(int64)) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			for {
				var count uint32
				if binary.Read(connection, binary.LittleEndian, &count) != nil {
					return
				}
				settled(int64(count))
			}
		}()
	}
}

func main() {
	var config Config
	if err := json.Unmarshal([]byte(os.Args[len(os.Args)-1]), &config); err != nil {
		fatal(err)
	}
	switch os.Args[1] {
	case "producer":
		runProducer(config)
	case "worker":
		runWorker(config)
	default:
		fatal(fmt.Errorf("there is no role %q", os.Args[1]))
	}
}
