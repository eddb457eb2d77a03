# The broker and its command line in a small image without a shell, run by a user that is not root.
#
#   docker build -t kafscale .
#   docker run -p 9092:9092 -v kafscale:/data kafscale
#
# What is built in the first stage is all that the second one adds to its base: one binary, linked against the C library of
# the same Debian release.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release -p kafscale \
    && install -D target/release/kafscale /image/usr/local/bin/kafscale \
    && mkdir /image/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/usr/ /usr/
# A volume takes its owner from the folder that it covers.
COPY --from=build --chown=nonroot:nonroot /image/data /data
ENV KAFSCALE_DATA=/data KAFSCALE_LISTEN=0.0.0.0:9092 KAFSCALE_ADVERTISE=localhost:9092 KAFSCALE_HTTP=0.0.0.0:9644
VOLUME /data
EXPOSE 9092 9644
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["kafscale", "cluster", "describe", "--bootstrap-server", "127.0.0.1:9092"]
ENTRYPOINT ["kafscale"]
CMD ["serve"]
