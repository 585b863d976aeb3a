# NATS server from the distribution, or the binary put into bin/ by docker-engine.sh (NATS_SERVER_BIN).
ARG BASE
FROM ${BASE}
COPY bin/ nats-entrypoint.sh /usr/local/bin/
# See postgres.Dockerfile: on its second start a container finds the mount point there, with the mode it has here.
RUN install -d -m 1777 /data && printf 'port: 4222\nhttp: 8222\n' >/nats-server.conf
USER nobody
WORKDIR /
EXPOSE 4222
ENTRYPOINT ["nats-entrypoint.sh"]
CMD ["--config", "nats-server.conf"]
