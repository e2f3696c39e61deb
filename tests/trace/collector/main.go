// A receiver of traces with the OpenTelemetry Collector's own decoder: it takes what the Collector's OTLP/HTTP receiver
// takes, refuses what that refuses, and writes one line of JSON a span to standard output.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

type line struct {
	Service    string         `json:"service"`
	Scope      string         `json:"scope"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	Parent     string         `json:"parent"`
	Links      []string       `json:"links"`
	Status     string         `json:"status"`
	Seconds    float64        `json:"seconds"`
	Attributes map[string]any `json:"attributes"`
}

func show(resource pcommon.Resource, scope string, span ptrace.Span, out *json.Encoder) {
	service, _ := resource.Attributes().Get("service.name")
	one := line{
		Service: service.AsString(), Scope: scope, Name: span.Name(), Kind: span.Kind().String(),
		TraceID: span.TraceID().String(), SpanID: span.SpanID().String(), Parent: span.ParentSpanID().String(),
		Links: []string{}, Status: span.Status().Code().String(),
		Seconds:    span.EndTimestamp().AsTime().Sub(span.StartTimestamp().AsTime()).Seconds(),
		Attributes: span.Attributes().AsRaw(),
	}
	for i := 0; i < span.Links().Len(); i++ {
		link := span.Links().At(i)
		one.Links = append(one.Links, link.TraceID().String()+"-"+link.SpanID().String())
	}
	if err := out.Encode(one); err != nil {
		log.Fatal(err)
	}
}

func receive(out *json.Encoder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := ptraceotlp.NewExportRequest()
		if err == nil && r.Header.Get("Content-Type") == "application/json" {
			err = request.UnmarshalJSON(body)
		} else if err == nil {
			err = request.UnmarshalProto(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			fmt.Fprintln(os.Stderr, "refused:", err)
			return
		}
		resources := request.Traces().ResourceSpans()
		for i := 0; i < resources.Len(); i++ {
			scopes := resources.At(i).ScopeSpans()
			for j := 0; j < scopes.Len(); j++ {
				spans := scopes.At(j).Spans()
				for k := 0; k < spans.Len(); k++ {
					show(resources.At(i).Resource(), scopes.At(j).Scope().Name(), spans.At(k), out)
				}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{}")
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	http.HandleFunc("POST /v1/traces", receive(out))
	log.Fatal(http.Serve(listener, nil))
}
