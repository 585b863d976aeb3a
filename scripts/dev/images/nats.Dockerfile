# NATS server from the distribution, or the binary put into bin/ by docker-engine.sh (NATS_SERVER_BIN).
ARG BASE
FROM ${BASE}
COPY bin/ /usr/local/bin/
# See postgres.Dockerfile: on its second start a container finds the mount point there, with the mode it has here.
RUN install -d -m 1777 /data
USER nobody
EXPOSE 4222
ENTRYPOINT ["nats-server"]
