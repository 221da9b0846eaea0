/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over files and directories of files, where no fuzzing engine is at hand:
 *
 *     replay_peer corpus/peer              each file once
 *     replay_peer -m 100000 corpus/peer    then that many random mutations of them
 *     replay_peer -s 7 -m 1000 corpus/peer the same ones again
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { FILES_MAX = 4096, SIZE_LIMIT = 1 << 16 };

static struct {
    uint8_t *data;
    size_t size;
} files[FILES_MAX];
static size_t count;
static uint64_t state = 1;

static uint64_t next_random(void)
{
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static size_t below(size_t n)
{
    return (size_t)(next_random() % n);
}

/* An exact copy in memory of its own, so that a read past the end is seen. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || count == FILES_MAX) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    uint8_t *data = malloc(SIZE_LIMIT);
    files[count].size = fread(data, 1, SIZE_LIMIT, f);
    files[count++].data = data;
    fclose(f);
}

static void add_path(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        add_file(path);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        char full[4096];
        struct stat st;
        snprintf(full, sizeof(full), "%s/%s", path, e->d_name);
        if (stat(full, &st) == 0 && S_ISREG(st.st_mode))
            add_file(full);
    }
    closedir(dir);
}

/* One of the files, with a few bytes changed, removed, doubled, or taken from another one. */
static size_t mutate(uint8_t *out)
{
    size_t pick = below(count);
    size_t size = files[pick].size;
    memcpy(out, files[pick].data, size);
    for (size_t k = 1 + below(8); k > 0; k--) {
        size_t at = below(size + 1);
        size_t n = 1 + below(16);
        switch (below(5)) {
        case 0:
            if (at < size)
                out[at] = (uint8_t)next_random();
            break;
        case 1:
            if (at < size)
                out[at] ^= (uint8_t)(1u << below(8));
            break;
        case 2:
            if (at + n <= size) {
                memmove(out + at, out + at + n, size - at - n);
                size -= n;
            }
            break;
        case 3:
            if (at + n <= size && size + n <= SIZE_LIMIT) {
                memmove(out + at + n, out + at, size - at);
                size += n;
            }
            break;
        default: {
            size_t other = below(count);
            if (files[other].size) {
                size_t from = below(files[other].size);
                size_t len = 1 + below(files[other].size - from);
                if (at + len <= SIZE_LIMIT) {
                    memcpy(out + at, files[other].data + from, len);
                    if (size < at + len)
                        size = at + len;
                }
            }
        }
        }
    }
    return size;
}

int main(int argc, char **argv)
{
    size_t mutations = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-m") == 0 && i + 1 < argc)
            mutations = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            state = strtoull(argv[++i], NULL, 0);
        else
            add_path(argv[i]);
    }
    for (size_t i = 0; i < count; i++)
        run(files[i].data, files[i].size);
    uint8_t *buf = malloc(SIZE_LIMIT);
    for (size_t i = 0; count && i < mutations; i++) {
        size_t size = mutate(buf);
        /* Kept for the case that this is the last one. */
        FILE *f = mutations ? fopen("last-input", "wb") : NULL;
        if (f) {
            fwrite(buf, 1, size, f);
            fclose(f);
        }
        run(buf, size);
    }
    if (mutations)
        remove("last-input");
    free(buf);
    for (size_t i = 0; i < count; i++)
        free(files[i].data);
    printf("%zu files, %zu mutations: ok\n", count, mutations);
    return count ? 0 : 2;
}
