# Redis from the distribution where Dragonfly cannot be had. The server calls itself Redis, and testbay says so.
ARG BASE
FROM ${BASE}
COPY dragonfly-standin-entrypoint.sh /usr/local/bin/
# The official image has no folder for logs.
RUN ln -s dragonfly-standin-entrypoint.sh /usr/local/bin/docker-entrypoint.sh && install -d -m 1777 /data \
    && rm -rf /var/log/redis
USER redis
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
