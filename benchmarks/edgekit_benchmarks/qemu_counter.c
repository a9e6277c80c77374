/* Counts what instructions, by class, a program under QEMU's user-mode emulation executes between
 * marks that it sets. A TCG plugin for qemu-aarch64 and qemu-arm:
 *
 *   qemu-aarch64 -plugin COUNTER.so,out=FILE PROGRAM...
 *
 * The program begins a region by lseek(0x7ed6e, region, 0) and ends it by lseek(0x7ed6e, region, 1).
 * There is no such descriptor, so the call fails and does nothing, with or without QEMU. Every end
 * appends a line to FILE:
 *
 *   {"region": 0, "total": 6199403, "dot": 711002, ...}
 *
 * Only the thread that sets the marks is counted: others wake up when they like.
 * QEMU's plugin API is declared here as far as it is used, as distributions pack no header; EDGEKIT_API
 * is its version, which a QEMU demands within bounds (see counter.py).
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instruction_class.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- what of QEMU's API is used ------------------------------------------------------------------- */

typedef uint64_t plugin_id;
struct block; /* what QEMU translates at once: instructions that are executed from first to last */
struct instruction;
struct info {
    const char *target_name;
};

typedef void (*translate_callback)(plugin_id, struct block *);
typedef void (*execute_callback)(unsigned cpu, void *data);
typedef void (*call_callback)(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                              uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translate_callback);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, call_callback);
size_t qemu_plugin_tb_n_insns(const struct block *);
struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t index);
size_t qemu_plugin_insn_size(const struct instruction *);
uint64_t qemu_plugin_insn_vaddr(const struct instruction *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, execute_callback, int flags, void *data);
#if EDGEKIT_API < 3
const void *qemu_plugin_insn_data(const struct instruction *);
#else
size_t qemu_plugin_insn_data(const struct instruction *, void *data, size_t size);
#endif

EXPORT int qemu_plugin_version = EDGEKIT_API;

/* ---- counting: executions of blocks, multiplied out only at a mark -------------------------------- */

struct record {
    struct record *next;
    uint64_t executions;
    uint16_t counts[CLASSES]; /* of one execution */
};

static struct record *records;
static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;
static int is_64_bit;
static unsigned counted_cpu = ~0U; /* in user mode every thread has one of its own */

static void sum_up(uint64_t sums[CLASSES])
{
    memset(sums, 0, sizeof(uint64_t) * CLASSES);
    pthread_mutex_lock(&records_lock);
    for (struct record *one = records; one; one = one->next)
        if (one->executions)
            for (int i = 0; i < CLASSES; i++)
                sums[i] += one->executions * one->counts[i];
    pthread_mutex_unlock(&records_lock);
}

static uint32_t word_of(const struct instruction *instruction)
{
    uint32_t word = 0;
#if EDGEKIT_API < 3
    memcpy(&word, qemu_plugin_insn_data(instruction), qemu_plugin_insn_size(instruction));
#else
    qemu_plugin_insn_data(instruction, &word, sizeof word);
#endif
    return word;
}

/* Whether an ARM instruction, all of whose bits a long Thumb instruction may have, is one that ends a
 * block by itself: returns, and jumps backwards. */
static int ends_arm_block(uint32_t word)
{
    unsigned condition = word >> 28;
    if (is(word, 0x0FFFFF00, 0x012FFF00) || is(word, 0x0FFFFFFF, 0x01A0F00E)
        || is(word, 0x0FFFFFFF, 0x049DF004))
        return 1;                                       /* bx, blx; mov pc, lr; pop {pc} */
    return is(word, 0x0EFF0000, 0x0AFF0000) && (condition < 8 || condition == 12 || condition == 14);
}

/* Whether a 32-bit block is Thumb code, which QEMU does not tell. One with a short instruction is, or at
 * an odd place; one in which a word does not begin as long Thumb instructions do is not. So nearly every
 * block is clear; the others are Thumb, but for those that end as ARM code of one instruction does. */
static int is_thumb(const struct block *block, size_t count)
{
    uint32_t word = 0;
    if (qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0)) & 3)
        return 1;
    for (size_t i = 0; i < count; i++) {
        const struct instruction *one = qemu_plugin_tb_get_insn(block, i);
        word = word_of(one);
        if (qemu_plugin_insn_size(one) == 2)
            return 1;
        if ((word & 0xFFFF) < 0xE800)
            return 0;
    }
    return !ends_arm_block(word);
}

static enum instruction_class class_of(const struct instruction *instruction, int thumb)
{
    uint32_t word = word_of(instruction);
    if (is_64_bit)
        return a64_class(word);
    if (!thumb)
        return a32_class(word);
    return qemu_plugin_insn_size(instruction) == 2 ? t16_class(word) : t32_class(word << 16 | word >> 16);
}

static void add_one(unsigned cpu, void *data)
{
    if (cpu == counted_cpu)
        ((struct record *)data)->executions++;
}

/* A block is classified once, and its executions are counted. It is never freed: when QEMU translates
 * it again there are two records, and the sum is right. */
static void on_translate(plugin_id id, struct block *block)
{
    (void)id;
    struct record *record = calloc(1, sizeof *record);
    size_t count = qemu_plugin_tb_n_insns(block);
    if (!record)
        abort();

    pthread_mutex_lock(&records_lock);
    int thumb = count && !is_64_bit && is_thumb(block, count);
    for (size_t i = 0; i < count; i++)
        record->counts[class_of(qemu_plugin_tb_get_insn(block, i), thumb)]++;
    record->next = records;
    records = record;
    pthread_mutex_unlock(&records_lock);

    qemu_plugin_register_vcpu_tb_exec_cb(block, add_one, 0, record);
}

/* ---- marks ---------------------------------------------------------------------------------------- */

enum { MARK = 0x7ED6E, LSEEK_64_BIT = 62, LSEEK_32_BIT = 19, LLSEEK_32_BIT = 140 };

static FILE *out;
static uint64_t at_begin[CLASSES];

static void mark(unsigned cpu, unsigned long long region, uint64_t is_end)
{
    uint64_t now[CLASSES], total = 0;
    sum_up(now);
    if (!is_end) {
        counted_cpu = cpu;
        memcpy(at_begin, now, sizeof now);
        return;
    }
    for (int i = 0; i < CLASSES; i++)
        total += now[i] - at_begin[i];
    fprintf(out, "{\"region\": %llu, \"total\": %llu", region, (unsigned long long)total);
    for (int i = 0; i < CLASSES; i++)
        fprintf(out, ", \"%s\": %llu", class_names[i], (unsigned long long)(now[i] - at_begin[i]));
    fprintf(out, "}\n");
    fflush(out);
}

static void on_call(plugin_id id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                    uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)d, (void)f, (void)g, (void)h;
    if ((uint32_t)a != MARK)
        return;
    if (number == (is_64_bit ? LSEEK_64_BIT : LSEEK_32_BIT))
        mark(cpu, b, c);
    else if (!is_64_bit && number == LLSEEK_32_BIT) /* descriptor, high, low, result, whence */
        mark(cpu, c, e);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv)
{
    is_64_bit = !strcmp(info->target_name, "aarch64");
    if (!is_64_bit && strcmp(info->target_name, "arm")) {
        fprintf(stderr, "qemu_counter: knows no instructions of %s\n", info->target_name);
        return 1;
    }
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "ae"))) {
        fprintf(stderr, "qemu_counter: needs out=FILE that it can write\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call);
    return 0;
}
