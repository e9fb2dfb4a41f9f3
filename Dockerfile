# The image of Peal: a single static binary and the root certificates, without a base
# system. scripts/package/image.sh builds and tries it where there is an engine.
#
#   docker build -t peal --build-arg VERSION="$(git describe --tags --always)" .
#   docker run --rm -p 127.0.0.1:8080:8080 peal
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux TARGETARCH VERSION=development
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /peal ./cmd/peal

FROM scratch
# For the authority of acme and for https:// of token-jwks.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /peal /peal
# A number, because Kubernetes' runAsNonRoot cannot check a name.
USER 65532:65532
EXPOSE 8080
# /healthz queries every event loop. The image has no curl, so Peal sends the request.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/peal", "health"]
ENTRYPOINT ["/peal"]
# --open: a container must listen on all its addresses, and every client that can
# reach the published port may then publish and subscribe. Publish it to 127.0.0.1
# (above), to a private network, or behind a proxy that controls access.
# --admin stays on the container's loopback; a scraper of /metrics shares its
# network namespace (a sidecar in the pod, --network container:NAME).
# --drain is below the 10 s that docker stop waits before it kills.
CMD ["serve", "--listen", "0.0.0.0:8080", "--open", "--admin", "127.0.0.1:8081", "--drain", "8s"]
