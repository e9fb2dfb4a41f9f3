package server

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"peal/server/otel"
	"peal/server/publish"
)

// OTLP is the settings of spans for distributed tracing.
type OTLP struct {
	Endpoint    string   // http or https URL of the collector, "" for none
	Headers     []string // "Name: value", of each request; they may be secrets
	HeadersFile string   // file with more of them, one on a line
	Sample      string   // part of the publications without a trace context that begin a trace, 0 to 1; default "0"
}

// sample is Sample as a number.
func (o OTLP) sample() (float64, error) {
	if o.Sample == "" {
		return 0, nil
	}
	part, err := strconv.ParseFloat(o.Sample, 64)
	if err != nil || !(part >= 0 && part <= 1) {
		return 0, fmt.Errorf("trace-sample %q: must be a number from 0 to 1, as in 0.01", o.Sample)
	}
	return part, nil
}

// checkOTLP reports what is wrong with the settings.
func (c Config) checkOTLP() (errs []error) {
	if _, err := c.OTLP.sample(); err != nil {
		errs = append(errs, fmt.Errorf("config: %w", err))
	}
	if c.OTLP.Endpoint == "" {
		if len(c.OTLP.Headers) > 0 || c.OTLP.HeadersFile != "" {
			errs = append(errs, errors.New("config: otlp-headers without otlp-endpoint: set the endpoint, too"))
		}
		return errs
	}
	if _, err := otel.URL(c.OTLP.Endpoint); err != nil {
		errs = append(errs, fmt.Errorf("config: %w", err))
	}
	if _, err := otel.ParseHeaders(c.OTLP.Headers); err != nil {
		errs = append(errs, fmt.Errorf("config: otlp-headers: %w", err))
	}
	return errs
}

// openSpans makes what sends spans, nothing without an endpoint.
func (s *Server) openSpans(c Config) error {
	if c.OTLP.Endpoint == "" {
		return nil
	}
	lines := c.OTLP.Headers
	if c.OTLP.HeadersFile != "" {
		text, err := os.ReadFile(c.OTLP.HeadersFile)
		if err != nil {
			return fmt.Errorf("otlp-headers-file: %w", err)
		}
		lines = append(lines[:len(lines):len(lines)], strings.Split(string(text), "\n")...)
	}
	headers, err := otel.ParseHeaders(lines)
	if err != nil {
		return fmt.Errorf("otlp-headers: %w", err)
	}
	s.exporter, err = otel.New(otel.Config{
		Endpoint: c.OTLP.Endpoint, Headers: headers, Log: c.Log,
		Resource: map[string]string{"service.name": "peal", "service.version": c.Version, "service.instance.id": c.NodeName},
	})
	return err
}

// spans are those of publications, nil without an endpoint.
func (s *Server) spans(c Config) publish.Spans {
	if s.exporter == nil {
		return nil
	}
	part, _ := c.OTLP.sample() // Validate has checked it
	return &otel.Publications{
		To: s.exporter, Sample: part, Handed: s.loops.Handed,
		Cursor: func(sequence uint64) string { return s.log.Lineage().Cursor(sequence).String() },
	}
}

// SpanStats tells about spans; zero without an endpoint.
func (s *Server) SpanStats() otel.Stats {
	if s.exporter == nil {
		return otel.Stats{}
	}
	return s.exporter.Stats()
}
