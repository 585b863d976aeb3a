ARG MAJOR=15
FROM --platform=linux/amd64 postgres:${MAJOR:-16}-alpine AS base
ENV A=$MAJOR B="two words" \
    # in between
    C=c
RUN <<END
FROM scratch
END
FROM base
COPY --chown=70 ["init.sql", "/docker-entrypoint-initdb.d/"]
ADD *.sql ../x /docker-entrypoint-initdb.d
CMD ["postgres", "-c", "max_connections=9"]
