# PostgreSQL from the distribution, with the interface of the official image that docker-compose.test.yml uses.
ARG BASE
FROM ${BASE}
COPY postgres-entrypoint.sh /usr/local/bin/
# A RAM disk mounted over a folder takes the folder's mode, and belongs to root.
RUN ln -s /usr/lib/postgresql/*/bin /usr/local/pgbin && install -d -o postgres /usr/local/share/testbay /run/postgresql \
    && ln -s postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh && install -d /docker-entrypoint-initdb.d \
    && install -d -o postgres -m 1777 /var/lib/postgresql/data && chmod 1777 /var/lib/postgresql
ENV PATH=/usr/local/pgbin:$PATH LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data
# Made here once: a copy costs a container 0.1 s, initdb 0.5 s. `-C` makes the server print one setting and end.
RUN PGDATA=/usr/local/share/testbay/pgdata POSTGRES_USER=testbay POSTGRES_PASSWORD=testbay postgres-entrypoint.sh -C fsync
# Fast shutdown; SIGTERM would wait for every session to end.
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
