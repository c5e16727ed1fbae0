/*
 * A load generator for key-value servers, in one thread and one file.
 *
 * It keeps every connection busy with batches of pipelined requests for random keys, checks each
 * reply and prints one JSON object with the rate and the latency of a batch. It has to stay far
 * faster than any server it measures: requests are rendered once, before the run, and only the
 * digits of their keys are written anew.
 *
 * Build: cc -O2 -o load load.c
 * Usage: load --port N [--host IP] [--protocol json|resp|greendb]
 *             [--command GET|SET|MGET|MSET|PING] [--value-bytes N] [--batch N] [--keys N]
 *             [--connections N] [--pipeline N] [--seconds S] [--warmup S] [--idle N] [--load]
 * --load sets every key once and ends; --idle holds that many silent connections during a run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_DIGITS = 12,
    READ_BYTES = 256 * 1024,
    MAX_EVENTS = 512,
    SUB_BUCKETS = 64,
    BUCKETS = 64 * SUB_BUCKETS,
    DRAIN_SECONDS = 5,
    LOAD_SECONDS = 120,
    SPARE_SECONDS = 30,
    SHOWN_BYTES = 200,
};

static const double SECOND = 1e9;
static const size_t MAX_OUTPUT_BYTES = (size_t)4 << 30;
static const char JSON_SUCCESS[] = "{\"ok\":true";

static _Noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (memory == NULL)
        die("out of memory");
    return memory;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* ------------------------------------------------------------------ options */

static struct {
    const char *host, *protocol, *command;
    long port, value_bytes, batch, connections, pipeline, keys, idle;
    double seconds, warmup;
    bool load;
} options = {
    .host = "127.0.0.1", .protocol = "json", .command = "GET",
    .value_bytes = 20, .batch = 100, .connections = 50, .keys = 100000,
    .seconds = 2, .warmup = 0.2,
};

static const struct number_option { const char *name; long *value, low, high; } number_options[] = {
    {"port", &options.port, 1, 65535},
    {"value-bytes", &options.value_bytes, 0, 1 << 26},
    {"batch", &options.batch, 1, 100000},
    {"connections", &options.connections, 1, 100000},
    {"pipeline", &options.pipeline, 1, 100000},
    {"keys", &options.keys, 1, 1000000000},
    {"idle", &options.idle, 0, 100000},
};
static const struct text_option { const char *name, **value; } text_options[] = {
    {"host", &options.host}, {"protocol", &options.protocol}, {"command", &options.command},
};
static const struct time_option { const char *name; double *value; } time_options[] = {
    {"seconds", &options.seconds}, {"warmup", &options.warmup},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void set_number(const struct number_option *option, const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || end == text || value < option->low || value > option->high)
        die("--%s takes a number from %ld to %ld", option->name, option->low, option->high);
    *option->value = value;
}

static void set_time(const struct time_option *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= 0 && value <= 3600))
        die("--%s takes seconds, 3600 at most", option->name);
    *option->value = value;
}

static void set_option(const char *name, const char *text)
{
    for (size_t i = 0; i < COUNT(number_options); i++)
        if (strcmp(name, number_options[i].name) == 0)
            set_number(&number_options[i], text);
    for (size_t i = 0; i < COUNT(time_options); i++)
        if (strcmp(name, time_options[i].name) == 0)
            set_time(&time_options[i], text);
    for (size_t i = 0; i < COUNT(text_options); i++)
        if (strcmp(name, text_options[i].name) == 0)
            *text_options[i].value = text;
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"host", 1, 0, 0}, {"port", 1, 0, 0}, {"protocol", 1, 0, 0}, {"command", 1, 0, 0},
        {"value-bytes", 1, 0, 0}, {"batch", 1, 0, 0}, {"connections", 1, 0, 0},
        {"pipeline", 1, 0, 0}, {"keys", 1, 0, 0}, {"seconds", 1, 0, 0}, {"warmup", 1, 0, 0},
        {"idle", 1, 0, 0}, {"load", 0, 0, 'l'}, {0, 0, 0, 0},
    };
    int result, index;
    while ((result = getopt_long(argc, argv, "", known, &index)) != -1) {
        if (result == '?')
            exit(2);
        if (result == 'l')
            options.load = true;
        else
            set_option(known[index].name, optarg);
    }
    if (optind < argc || options.port == 0)
        die("--port N is needed, and nothing but options is understood");
    if (options.load)
        options.command = "SET";
    if (options.pipeline == 0)
        options.pipeline = options.load ? 16 : 1;
    if (options.batch > options.keys)
        die("--batch needs as many --keys, for its keys differ");
}

/* ------------------------------------------------- requests, rendered once */

/*
 * The shape of a command on the wire: the item stands once for each key. %K is a key, %V a value,
 * %L the value's length, %B the number of keys, %N and %M the length of an array of the command's
 * name with the keys, or with keys and values.
 */
struct shape { const char *command, *head, *item, *separator, *tail; };

#define RESP_KEY "$16\r\n%K\r\n"
#define RESP_PAIR RESP_KEY "$%L\r\n%V\r\n"

static const struct shape json_shapes[] = {
    {"PING", "{\"type\":\"PING\"}\n", "", "", ""},
    {"GET", "{\"type\":\"GET\",\"key\":", "\"%K\"", "", "}\n"},
    {"SET", "{\"type\":\"SET\",", "\"key\":\"%K\",\"value\":\"%V\"", "", "}\n"},
    {"MGET", "{\"type\":\"MGET\",\"keys\":[", "\"%K\"", ",", "]}\n"},
    {"MSET", "{\"type\":\"MSET\",\"items\":{", "\"%K\":\"%V\"", ",", "}}\n"},
    {0},
};
static const struct shape resp_shapes[] = {
    {"PING", "*1\r\n$4\r\nPING\r\n", "", "", ""},
    {"GET", "*2\r\n$3\r\nGET\r\n", RESP_KEY, "", ""},
    {"SET", "*3\r\n$3\r\nSET\r\n", RESP_PAIR, "", ""},
    {"MGET", "*%N\r\n$4\r\nMGET\r\n", RESP_KEY, "", ""},
    {"MSET", "*%M\r\n$4\r\nMSET\r\n", RESP_PAIR, "", ""},
    {0},
};
static const struct shape greendb_shapes[] = {
    {"PING", "*1\r\n$4\r\nPING\r\n", "", "", ""},
    {"GET", "*2\r\n$3\r\nGET\r\n", RESP_KEY, "", ""},
    {"SET", "*3\r\n$3\r\nSET\r\n", RESP_PAIR, "", ""},
    {"MGET", "*2\r\n$4\r\nMGET\r\n*%B\r\n", RESP_KEY, "", ""},
    {"MSET", "*2\r\n$4\r\nMSET\r\n%%%B\r\n", RESP_PAIR, "", ""},
    {0},
};

static struct {
    char *bytes;
    size_t size, capacity;
    size_t *key_ends;
    size_t key_count;
} request;

static int key_digits;
static size_t shortest_reply;

static void put(const char *bytes, size_t count)
{
    if (request.size + count > request.capacity) {
        request.capacity = 2 * (request.size + count);
        request.bytes = realloc(request.bytes, request.capacity);
        if (request.bytes == NULL)
            die("out of memory");
    }
    memcpy(request.bytes + request.size, bytes, count);
    request.size += count;
}

static void put_number(long number)
{
    char text[32];
    put(text, (size_t)snprintf(text, sizeof text, "%ld", number));
}

static void put_key(void)
{
    put("key:000000000000", 4 + KEY_DIGITS);
    request.key_ends[request.key_count++] = request.size;
}

static void put_value(void)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (long i = 0; i < options.value_bytes; i++)
        put(&alphabet[i % 36], 1);
}

static void put_code(char code, long batch)
{
    switch (code) {
    case 'K': put_key(); break;
    case 'V': put_value(); break;
    case 'L': put_number(options.value_bytes); break;
    case 'B': put_number(batch); break;
    case 'N': put_number(1 + batch); break;
    case 'M': put_number(1 + 2 * batch); break;
    default: put(&code, 1);
    }
}

static void put_text(const char *text, long batch)
{
    for (; *text; text++)
        if (*text == '%')
            put_code(*++text, batch);
        else
            put(text, 1);
}

static void render_request(const struct shape *shape)
{
    bool many = shape->command[0] == 'M';
    long batch = many ? options.batch : 1;
    request.key_ends = allocate((size_t)batch * sizeof *request.key_ends);
    put_text(shape->head, batch);
    for (long i = 0; i < batch; i++) {
        put_text(i ? shape->separator : "", batch);
        put_text(shape->item, batch);
    }
    put_text(shape->tail, batch);
    if (strcmp(shape->command + many, "GET") == 0)
        shortest_reply = (size_t)(batch * options.value_bytes);
    for (long left = options.keys - 1; left > 0 || key_digits == 0; left /= 10)
        key_digits++;
}

/* ------------------------------------------------------------------ results */

static struct {
    uint64_t started, cpu_started, requests, errors, bytes, batches, longest;
    uint64_t latency[BUCKETS];
} totals;

static int bucket_of(uint64_t value)
{
    if (value < SUB_BUCKETS)
        return (int)value;
    int shift = 63 - __builtin_clzll(value) - 6;
    return shift * SUB_BUCKETS + (int)(value >> shift);
}

static double bucket_middle(int bucket)
{
    int shift = bucket / SUB_BUCKETS - 1;
    if (shift < 0)
        return bucket;
    uint64_t low = (uint64_t)(bucket - shift * SUB_BUCKETS) << shift;
    return (double)low + (double)((uint64_t)1 << shift) / 2;
}

static void record_latency(uint64_t ns)
{
    totals.latency[bucket_of(ns)]++;
    totals.batches++;
    if (ns > totals.longest)
        totals.longest = ns;
}

static double smaller(double left, double right)
{
    return left < right ? left : right;
}

static double percentile_us(double fraction)
{
    uint64_t wanted = (uint64_t)(fraction * (double)totals.batches), seen = 0;
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        seen += totals.latency[bucket];
        if (seen > wanted)
            return smaller(bucket_middle(bucket), (double)totals.longest) / 1000;
    }
    return (double)totals.longest / 1000;
}

static void start_totals(void)
{
    memset(&totals, 0, sizeof totals);
    totals.started = now_ns();
    totals.cpu_started = cpu_ns();
}

static void print_totals(void)
{
    double seconds = (double)(now_ns() - totals.started) / SECOND;
    double cpu_seconds = (double)(cpu_ns() - totals.cpu_started) / SECOND;
    printf("{\"requests\":%lu,\"seconds\":%.3f,\"requests_per_second\":%.1f,\"errors\":%lu,"
           "\"bytes_received\":%lu,\"generator_cpu\":%.3f,\"latency_us\":{"
           "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f,\"max\":%.1f}}\n",
           totals.requests, seconds, (double)totals.requests / seconds, totals.errors,
           totals.bytes, cpu_seconds / seconds, percentile_us(0.5), percentile_us(0.9),
           percentile_us(0.99), percentile_us(0.999), (double)totals.longest / 1000);
}

/* ------------------------------------------------------------------ replies */

/* What is known of the reply that a connection is in the middle of. */
struct reply {
    size_t length;
    bool failed;
    long elements;
    size_t skip;
    long number;
    bool negative;
    unsigned char type;
};

static void show_first_error(const char *bytes, const char *end)
{
    static bool shown;
    size_t count = (size_t)(end - bytes) < SHOWN_BYTES ? (size_t)(end - bytes) : SHOWN_BYTES;
    if (!shown)
        fprintf(stderr, "load: first failed reply ends in: %.*s\n", (int)count, end - count);
    shown = true;
}

static int finish_reply(struct reply *reply, const char *seen, const char *end)
{
    if (reply->failed || reply->length < shortest_reply) {
        totals.errors++;
        show_first_error(seen, end);
    }
    reply->length = 0;
    reply->failed = false;
    return 1;
}

static void check_json_start(struct reply *reply, const char *bytes, const char *end)
{
    size_t wanted = sizeof JSON_SUCCESS - 1;
    if (reply->length >= wanted)
        return;
    size_t count = wanted - reply->length;
    if (count > (size_t)(end - bytes))
        count = (size_t)(end - bytes);
    if (memcmp(bytes, JSON_SUCCESS + reply->length, count) != 0)
        reply->failed = true;
}

static int read_json(struct reply *reply, const char *bytes, const char *end)
{
    int replies = 0;
    while (bytes < end) {
        check_json_start(reply, bytes, end);
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        const char *next = newline ? newline + 1 : end;
        reply->length += (size_t)(next - bytes);
        if (newline)
            replies += finish_reply(reply, bytes, next);
        bytes = next;
    }
    return replies;
}

/* The kinds of RESP elements by their first byte, with the additions that greendb uses. */
static const struct element { bool known, failed, bulk; int children; } elements[256] = {
    ['+'] = {.known = true}, [':'] = {.known = true}, ['_'] = {.known = true},
    ['#'] = {.known = true}, [','] = {.known = true}, ['('] = {.known = true},
    ['-'] = {.known = true, .failed = true},
    ['$'] = {.known = true, .bulk = true}, ['^'] = {.known = true, .bulk = true},
    ['!'] = {.known = true, .failed = true, .bulk = true},
    ['*'] = {.known = true, .children = 1}, ['%'] = {.known = true, .children = 2},
};

static void close_resp_line(struct reply *reply)
{
    struct element element = elements[reply->type];
    if (!element.known)
        die("not a RESP reply: it starts with byte %d", reply->type);
    reply->failed |= element.failed;
    reply->type = 0;
    if (element.bulk && !reply->negative)
        reply->skip = (size_t)reply->number + 2;
    else
        reply->elements += (reply->negative ? 0 : element.children * reply->number) - 1;
}

static const char *read_resp_line(struct reply *reply, const char *bytes, const char *end)
{
    if (reply->type == 0) {
        reply->type = (unsigned char)*bytes++;
        reply->number = 0;
        reply->negative = false;
    }
    bool counted = elements[reply->type].bulk || elements[reply->type].children;
    while (bytes < end) {
        char byte = *bytes++;
        if (byte == '\n') {
            close_resp_line(reply);
            return bytes;
        }
        if (byte == '-')
            reply->negative = true;
        if (counted && byte >= '0' && byte <= '9')
            reply->number = reply->number * 10 + (byte - '0');
    }
    return bytes;
}

static const char *skip_resp_bulk(struct reply *reply, const char *bytes, const char *end)
{
    size_t count = (size_t)(end - bytes) < reply->skip ? (size_t)(end - bytes) : reply->skip;
    reply->skip -= count;
    if (reply->skip == 0)
        reply->elements--;
    return bytes + count;
}

static int read_resp(struct reply *reply, const char *bytes, const char *end)
{
    int replies = 0;
    while (bytes < end) {
        const char *start = bytes;
        if (reply->elements == 0)
            reply->elements = 1;
        bytes = reply->skip ? skip_resp_bulk(reply, bytes, end) : read_resp_line(reply, bytes, end);
        reply->length += (size_t)(bytes - start);
        if (reply->elements == 0)
            replies += finish_reply(reply, start, bytes);
    }
    return replies;
}

static const struct protocol {
    const char *name;
    const struct shape *shapes;
    int (*read)(struct reply *reply, const char *bytes, const char *end);
} protocols[] = {
    {"json", json_shapes, read_json},
    {"resp", resp_shapes, read_resp},
    {"greendb", greendb_shapes, read_resp},
};
static const struct protocol *protocol;

static void choose_protocol(void)
{
    for (size_t i = 0; i < COUNT(protocols); i++)
        if (strcmp(options.protocol, protocols[i].name) == 0)
            protocol = &protocols[i];
    if (protocol == NULL)
        die("unknown protocol %s", options.protocol);
    const struct shape *shape = protocol->shapes;
    while (shape->command && strcmp(options.command, shape->command) != 0)
        shape++;
    if (shape->command == NULL)
        die("unknown command %s", options.command);
    render_request(shape);
}

/* -------------------------------------------------------------- connections */

struct connection {
    int fd;
    bool blocked;
    char *output;
    size_t sent;
    long awaited;
    uint64_t started;
    struct reply reply;
};

static int poller;
static bool sending = true;
static long in_flight;
static long next_key;
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    uint32_t drawn = (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 32);
    return (uint32_t)(((uint64_t)drawn * limit) >> 32);
}

/* The keys of one request differ: each is drawn from a stretch of its own. */
static uint32_t choose_key(size_t place)
{
    if (options.load)
        return (uint32_t)(next_key++ % options.keys);
    uint32_t stretch = (uint32_t)((size_t)options.keys / request.key_count);
    return (uint32_t)place * stretch + random_below(stretch);
}

static void write_digits(char *end, uint32_t number)
{
    for (int i = 0; i < key_digits; i++) {
        *--end = (char)('0' + number % 10);
        number /= 10;
    }
}

static void choose_keys(char *output)
{
    for (long i = 0; i < options.pipeline; i++, output += request.size)
        for (size_t place = 0; place < request.key_count; place++)
            write_digits(output + request.key_ends[place], choose_key(place));
}

static void watch(struct connection *connection, int operation, bool blocked)
{
    struct epoll_event event = {
        .events = EPOLLIN | (blocked ? EPOLLOUT : 0),
        .data.ptr = connection,
    };
    if (epoll_ctl(poller, operation, connection->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
    connection->blocked = blocked;
}

static void send_output(struct connection *connection)
{
    size_t size = request.size * (size_t)options.pipeline;
    while (connection->sent < size) {
        ssize_t count = send(connection->fd, connection->output + connection->sent,
                             size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            break;
        if (count < 0)
            die("send: %s", strerror(errno));
        connection->sent += (size_t)count;
    }
    bool blocked = connection->sent < size;
    if (blocked != connection->blocked)
        watch(connection, EPOLL_CTL_MOD, blocked);
}

static void start_batch(struct connection *connection, uint64_t now)
{
    if (options.load && next_key >= options.keys)
        sending = false;
    if (!sending)
        return;
    in_flight++;
    choose_keys(connection->output);
    connection->sent = 0;
    connection->awaited = options.pipeline;
    connection->started = now;
    send_output(connection);
}

static void take_replies(struct connection *connection, int replies)
{
    totals.requests += (uint64_t)replies;
    connection->awaited -= replies;
    if (connection->awaited < 0)
        die("the server sent more replies than it got requests");
    if (replies && connection->awaited == 0) {
        uint64_t now = now_ns();
        in_flight--;
        record_latency(now - connection->started);
        start_batch(connection, now);
    }
}

static void receive(struct connection *connection)
{
    static char buffer[READ_BYTES];
    ssize_t count = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0)
        die("the server closed a connection: %s", count ? strerror(errno) : "end of stream");
    totals.bytes += (uint64_t)count;
    take_replies(connection, protocol->read(&connection->reply, buffer, buffer + count));
}

static int open_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
        die("--host takes an IPv4 address");
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect: %s", strerror(errno));
    return fd;
}

static struct connection *open_connections(void)
{
    size_t size = request.size * (size_t)options.pipeline;
    if (size * (size_t)options.connections > MAX_OUTPUT_BYTES)
        die("%ld connections of %zu request bytes do not fit", options.connections, size);
    for (long i = 0; i < options.idle; i++)
        open_socket();
    struct connection *connections = allocate((size_t)options.connections * sizeof *connections);
    for (long i = 0; i < options.connections; i++) {
        struct connection *connection = &connections[i];
        connection->fd = open_socket();
        connection->output = allocate(size);
        for (long j = 0; j < options.pipeline; j++)
            memcpy(connection->output + (size_t)j * request.size, request.bytes, request.size);
        watch(connection, EPOLL_CTL_ADD, false);
    }
    return connections;
}

/* ---------------------------------------------------------------------- run */

static void run_until(uint64_t deadline)
{
    struct epoll_event events[MAX_EVENTS];
    uint64_t now;
    while (in_flight && (now = now_ns()) < deadline) {
        int wait_ms = (int)((deadline - now) / 1000000) + 1;
        int count = epoll_wait(poller, events, MAX_EVENTS, wait_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].events & EPOLLOUT)
                send_output(events[i].data.ptr);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                receive(events[i].data.ptr);
        }
    }
}

static uint64_t after(double seconds)
{
    return now_ns() + (uint64_t)(seconds * SECOND);
}

/* The requests still under way at the end are waited for, so that no server works on in silence. */
static void measure(void)
{
    run_until(after(options.warmup));
    start_totals();
    run_until(after(options.seconds));
    print_totals();
    fflush(stdout);
    sending = false;
    run_until(after(DRAIN_SECONDS));
}

static void fill(void)
{
    run_until(after(LOAD_SECONDS));
    if (in_flight)
        die("the keys were not filled in %d seconds", LOAD_SECONDS);
    print_totals();
}

static void stop_late(int signal_number)
{
    static const char text[] = "load: the run did not end in time\n";
    (void)signal_number;
    _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 4 : 3);
}

static void set_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    double seconds = options.load ? LOAD_SECONDS : options.warmup + options.seconds + DRAIN_SECONDS;
    signal(SIGALRM, stop_late);
    alarm((unsigned)seconds + SPARE_SECONDS);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    set_limits();
    choose_protocol();
    poller = epoll_create1(0);
    struct connection *connections = open_connections();
    start_totals();
    for (long i = 0; i < options.connections; i++)
        start_batch(&connections[i], now_ns());
    options.load ? fill() : measure();
    return 0;
}
