# Redis from the distribution where Dragonfly cannot be had. The server calls itself Redis, and testbay says so.
ARG BASE
FROM ${BASE}
COPY dragonfly-standin-entrypoint.sh /usr/local/bin/
USER redis
WORKDIR /tmp
EXPOSE 6379
ENTRYPOINT ["dragonfly-standin-entrypoint.sh"]
