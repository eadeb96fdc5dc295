# syntax=docker/dockerfile:1
# One static binary and nothing else: no shell, no libraries, a numeric user, and nothing that wants to write but /tmp.
# `cargo xtask image` makes the same image without a Docker engine.
#
#   docker build --tag registry.example/segue:0.1.0 .

FROM rust:1.95-bookworm AS build
# It puts the list of all crates into the binary, where scanners find it.
RUN cargo install cargo-auditable --version 0.7.7 --locked
WORKDIR /build
COPY . .
ARG SEGUE_REVISION=unknown
# The flags after `--` are for the last step alone: the whole program is linked, C library and all, and stripped.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    SEGUE_REVISION=$SEGUE_REVISION RUSTFLAGS="--remap-path-prefix=/build=." \
    cargo auditable rustc --locked --release --bin segue -- -C target-feature=+crt-static -C strip=symbols \
    && install -D target/release/segue /image/segue \
    && install -d -m 1777 /image/tmp

FROM scratch
COPY --from=build /image/ /
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8080 7946
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/segue", "healthcheck"]
ENTRYPOINT ["/segue"]
LABEL org.opencontainers.image.title="Segue" \
      org.opencontainers.image.description="A self-hosted Discord music bot that does not stop when its pods do" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
