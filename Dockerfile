# Two images: `heddle` (the default), one program for every role, and `shop`, the example's services without any of it.
#
#     docker build -t heddle .
#     docker build -t heddle-shop --target shop .
#
# What is inside is tested by test/build.test.ts, which builds the same program and starts a mesh with it. That the
# images build and run as containers is not covered by any test of this repository.

FROM node:22-bookworm-slim AS build
WORKDIR /heddle
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund \
 && install -m 0755 "$(readlink -f node_modules/.bin/bun)" /usr/local/bin/bun
COPY bunfig.toml tsconfig.json ./
COPY src src
RUN npm run build

# The shop's services: plain Bun and their own files.
FROM debian:bookworm-slim AS shop
COPY --from=build /usr/local/bin/bun /usr/local/bin/bun
COPY examples/shop /shop
WORKDIR /shop
USER 65532:65532
CMD ["bun", "web.ts"]

FROM debian:bookworm-slim AS heddle
# nats-server for `heddle up`, curl for the health check. Sidecars need none of them.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl nats-server \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 65532 --user-group --no-create-home --home-dir /var/lib/heddle heddle \
 && install -d -m 0700 -o heddle -g heddle /var/lib/heddle /var/lib/heddle-creds
COPY --from=build /heddle/dist/heddle /usr/local/bin/heddle
USER heddle
WORKDIR /var/lib/heddle
ENV HEDDLE_DIR=/var/lib/heddle USER=heddle
VOLUME /var/lib/heddle
# A sidecar answers on the one port, a control replica (also that of `heddle up`) on the other.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
  CMD curl -fsS http://127.0.0.1:15021/healthz/ready || curl -fsS http://127.0.0.1:15014/healthz || exit 1
ENTRYPOINT ["heddle"]
CMD ["--help"]
