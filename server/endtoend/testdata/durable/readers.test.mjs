// Runs the conformance suite of Durable Streams against the server at PEAL_URL.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.PEAL_URL })
