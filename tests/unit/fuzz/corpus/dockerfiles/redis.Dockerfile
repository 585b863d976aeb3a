FROM redis:7
WORKDIR /data
COPY redis.conf .
ENTRYPOINT exec redis-server redis.conf
