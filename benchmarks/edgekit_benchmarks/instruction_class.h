/* Which class an ARM instruction belongs to: A64 (64-bit), A32 and T32 (32-bit ARM and Thumb).
 *
 * The classes are what decides how much work an inference is on these cores: which multiplications
 * a kernel is made of, and how much around them. Encodings are read from the tables of the ARM
 * Architecture Reference Manual; a test compares every class with what binutils disassembles.
 * What a core of today's boards does not have (SVE, SME, memory tagging and so on) is "other".
 */
#ifndef EDGEKIT_INSTRUCTION_CLASS_H
#define EDGEKIT_INSTRUCTION_CLASS_H

#include <stdint.h>

enum instruction_class {
    DOT,
    MATRIX,
    WIDENING_MULTIPLY,
    PAIRWISE_ADD,
    FLOAT32_MULTIPLY_ADD,
    FLOAT16_MULTIPLY_ADD,
    SIMD_OTHER,
    SIMD_LOAD,
    SIMD_STORE,
    LOAD,
    STORE,
    BRANCH,
    INTEGER,
    OTHER,
    CLASSES
};

static const char *const class_names[CLASSES] = {
    "dot",                  /* sdot, udot: four int8 products added to an int32 (Cortex-A76 and later) */
    "matrix",               /* smmla, ummla: a small int8 matrix product */
    "widening_multiply",    /* smull, smlal, smlsl, unsigned too: products twice as wide as factors */
    "pairwise_add",         /* sadalp, uadalp; vpadal: neighbours added to sums twice as wide */
    "float32_multiply_add", /* fmla, fmls; vmla, vfma: on vectors */
    "float16_multiply_add",
    "simd_other",           /* the rest of vectors and of floating point */
    "simd_load",            /* into vector and floating-point registers */
    "simd_store",
    "load",                 /* into the others; atomic read and write in one also */
    "store",
    "branch",
    "integer",
    "other",                /* prefetch, system, barriers, no-ops, if-then */
};

/* Whether `word`, but for its operands, is the instruction `bits`. */
static int is(uint32_t word, uint32_t mask, uint32_t bits)
{
    return (word & mask) == bits;
}

static int bit(uint32_t word, int number)
{
    return word >> number & 1;
}

/* ---- A64: masks leave free U (bit 29, unsigned) and Q (bit 30, vectors of 128 bits) --------------- */

static enum instruction_class a64_vector(uint32_t word)
{
    if (is(word, 0x9FE0FC00, 0x0E809400) || is(word, 0x9FC0F400, 0x0F80E000)        /* sdot, udot */
        || is(word, 0xBFE0FC00, 0x0E809C00) || is(word, 0xBF40F400, 0x0F00F000))    /* usdot, sudot */
        return DOT;
    if (is(word, 0xDFE0FC00, 0x4E80A400) || is(word, 0xFFE0FC00, 0x4E80AC00))
        return MATRIX;
    if ((word >> 22 & 3) != 3
        && (is(word, 0x9F20FC00, 0x0E208000) || is(word, 0x9F20FC00, 0x0E20A000)     /* smlal, smlsl */
            || is(word, 0x9F20FC00, 0x0E20C000)))                                   /* smull */
        return WIDENING_MULTIPLY;
    if ((bit(word, 22) ^ bit(word, 23))                                             /* by element */
        && (is(word, 0x9F00B400, 0x0F002000) || is(word, 0x9F00F400, 0x0F00A000)))
        return WIDENING_MULTIPLY;
    if (is(word, 0x9F3FFC00, 0x0E206800))
        return PAIRWISE_ADD;
    if (is(word, 0xBF60FC00, 0x0E20CC00) || is(word, 0xBFC0B400, 0x0F801000))
        return FLOAT32_MULTIPLY_ADD;
    if (is(word, 0xBF60FC00, 0x0E400C00) || is(word, 0xBFC0B400, 0x0F001000))
        return FLOAT16_MULTIPLY_ADD;
    return SIMD_OTHER;
}

static enum instruction_class a64_memory(uint32_t word)
{
    int is_vector = bit(word, 26), is_load = bit(word, 22);
    unsigned kind = word >> 22 & 3;                     /* of plain loads and stores */

    if (is(word, 0x3F000000, 0x08000000))               /* exclusive, ordered, compare and swap */
        return is_load || (bit(word, 21) && (bit(word, 23) || !bit(word, 31))) ? LOAD : STORE;
    if (is(word, 0x3B000000, 0x18000000))               /* relative to the program counter */
        return is_vector ? SIMD_LOAD : word >> 30 == 3 ? OTHER : LOAD;
    if (is(word, 0x3F000000, 0x19000000))               /* ordered, with offset */
        return is(word, 0x3F200C00, 0x19000000) ? kind ? LOAD : STORE : OTHER;
    if (is(word, 0x3A000000, 0x38000000) && !is_vector) {
        if (kind == 2 && word >> 30 == 3 && (bit(word, 24) || !bit(word, 21) || (word >> 10 & 3) == 2))
            return OTHER;                               /* prefetch */
        if (!bit(word, 24) && bit(word, 21) && (word >> 10 & 3) != 2)
            return LOAD;                                /* atomic, or with an authenticated pointer */
        return kind ? LOAD : STORE;
    }
    if (is_vector)
        return is_load ? SIMD_LOAD : SIMD_STORE;
    return is_load ? LOAD : STORE;
}

static enum instruction_class a64_class(uint32_t word)
{
    if (is(word, 0x0A000000, 0x08000000))
        return a64_memory(word);
    if (is(word, 0x0E000000, 0x0E000000))
        return a64_vector(word);
    if (is(word, 0x1C000000, 0x10000000) || is(word, 0x0E000000, 0x0A000000))
        return INTEGER;
    if (is(word, 0x7C000000, 0x14000000) || is(word, 0x7C000000, 0x34000000)
        || is(word, 0xFE000000, 0x54000000) || is(word, 0xFE000000, 0xD6000000))
        return BRANCH;
    return OTHER;
}

/* ---- A32 ------------------------------------------------------------------------------------------ */

/* NEON data processing, 0xF2 and 0xF3. */
static enum instruction_class a32_vector(uint32_t word)
{
    if (is(word, 0xFF900F10, 0xF2000D10) || is(word, 0xFF900F10, 0xF2000C10)    /* vmla, vfma */
        || is(word, 0xFEB00B50, 0xF2A00140))                                    /* by element */
        return FLOAT32_MULTIPLY_ADD;
    if (is(word, 0xFF900F10, 0xF2100D10) || is(word, 0xFF900F10, 0xF2100C10)
        || is(word, 0xFEB00B50, 0xF2900140))
        return FLOAT16_MULTIPLY_ADD;
    if (is(word, 0xFFB30F10, 0xF3B00600))
        return PAIRWISE_ADD;
    if ((word >> 20 & 3) != 3
        && (is(word, 0xFE800D50, 0xF2800800) || is(word, 0xFE800F50, 0xF2800C00)       /* vmlal, vmull */
            || is(word, 0xFE800B50, 0xF2800240) || is(word, 0xFE800F50, 0xF2800A40)))  /* by element */
        return WIDENING_MULTIPLY;
    return SIMD_OTHER;
}

/* Coprocessors 10 and 11 are floating point and vectors; the bits are the same in T32. */
static enum instruction_class a32_coprocessor(uint32_t word)
{
    if (word >> 28 == 0xF) {
        if (is(word, 0xFFB00F00, 0xFC200D00) || is(word, 0xFFB00F00, 0xFE200D00))
            return DOT;
        return is(word, 0xFF000E00, 0xFE000A00) ? SIMD_OTHER : OTHER;
    }
    if (!is(word, 0x0E00, 0x0A00))
        return OTHER;
    if (is(word, 0x0E000000, 0x0E000000) || is(word, 0x0FE00000, 0x0C400000))
        return SIMD_OTHER;                              /* arithmetic, and moves between registers */
    return bit(word, 20) ? SIMD_LOAD : SIMD_STORE;
}

static enum instruction_class a32_unconditional(uint32_t word)
{
    if (is(word, 0xFE000000, 0xF2000000))
        return a32_vector(word);
    if (is(word, 0xFF100000, 0xF4000000))
        return bit(word, 21) ? SIMD_LOAD : SIMD_STORE;
    if (is(word, 0xFE000000, 0xFA000000))
        return BRANCH;
    return word >> 24 >= 0xFC ? a32_coprocessor(word) : OTHER;
}

/* Multiplications, odd moves, and loads and stores of other sizes: all that bits 27 to 25 are 0 for. */
static enum instruction_class a32_register(uint32_t word)
{
    int is_load = bit(word, 20);
    if (is(word, 0x90, 0x90)) {
        if (!is(word, 0x60, 0))
            return is_load || is(word, 0xF0, 0xD0) ? LOAD : STORE;
        if (!bit(word, 24))
            return INTEGER;
        return is_load || !bit(word, 23) ? LOAD : STORE;    /* swp, or exclusive */
    }
    if (!is(word, 0x01900000, 0x01000000) || bit(word, 7))
        return INTEGER;
    switch (word >> 4 & 7) {
    case 0: return OTHER;                                   /* mrs, msr */
    case 1: return bit(word, 22) ? INTEGER : BRANCH;        /* clz; bx */
    case 2: case 3: return BRANCH;
    case 6: case 7: return OTHER;                           /* breakpoint, calls of the system */
    default: return INTEGER;
    }
}

static enum instruction_class a32_class(uint32_t word)
{
    if (word >> 28 == 0xF)
        return a32_unconditional(word);
    switch (word >> 25 & 7) {
    case 0: return a32_register(word);
    case 1: return is(word, 0x0FB00000, 0x03200000) ? OTHER : INTEGER;
    case 3:
        if (bit(word, 4))
            return is(word, 0x0FF000F0, 0x07F000F0) ? OTHER : INTEGER;
        return bit(word, 20) ? LOAD : STORE;
    case 2: case 4: return bit(word, 20) ? LOAD : STORE;
    case 5: return BRANCH;
    default: return is(word, 0x0F000000, 0x0F000000) ? OTHER : a32_coprocessor(word);
    }
}

/* ---- T32 ------------------------------------------------------------------------------------------ */

static enum instruction_class t16_class(uint32_t half)
{
    switch (half >> 12) {
    case 0x4:
        if (is(half, 0xFF00, 0x4700))
            return BRANCH;
        return bit(half, 11) ? LOAD : INTEGER;
    case 0x5: return (half >> 9 & 7) >= 3 ? LOAD : STORE;
    case 0x6: case 0x7: case 0x8: case 0x9: case 0xC: return bit(half, 11) ? LOAD : STORE;
    case 0xB:
        if (is(half, 0xFE00, 0xB400))
            return STORE;
        if (is(half, 0xFE00, 0xBC00))
            return LOAD;
        if (is(half, 0xF500, 0xB100))
            return BRANCH;
        return is(half, 0xFF00, 0xB600) || is(half, 0xFFC0, 0xBA80) || half >= 0xBE00 ? OTHER : INTEGER;
    case 0xD: return half >= 0xDE00 ? OTHER : BRANCH;
    case 0xE: return BRANCH;
    default: return INTEGER;
    }
}

/* `word` has the first half in its upper 16 bits. */
static enum instruction_class t32_class(uint32_t word)
{
    if (is(word, 0xEF000000, 0xEF000000))
        return a32_vector(0xF2000000 | (uint32_t)bit(word, 28) << 24 | (word & 0x00FFFFFF));
    if (is(word, 0xEC000000, 0xEC000000))
        return a32_coprocessor(word);
    if (is(word, 0xFF100000, 0xF9000000))
        return bit(word, 21) ? SIMD_LOAD : SIMD_STORE;
    if (is(word, 0xFE000000, 0xE8000000)) {
        if (is(word, 0xFFF0FFE0, 0xE8D0F000))
            return BRANCH;                              /* by a table */
        if (!bit(word, 22) && bit(word, 24) == bit(word, 23))
            return OTHER;
        return bit(word, 20) ? LOAD : STORE;
    }
    if (is(word, 0xF8008000, 0xF0008000)) {             /* branches and control */
        if (bit(word, 14) || bit(word, 12) || (word >> 23 & 7) != 7)
            return BRANCH;
        return is(word, 0xFFF0FFFF, 0xF3C08F00) ? BRANCH : OTHER;
    }
    if (is(word, 0xFE000000, 0xF8000000)) {
        if (!bit(word, 20))
            return STORE;
        return is(word, 0xF000, 0xF000) && !bit(word, 22) ? OTHER : LOAD;   /* prefetch: into r15 */
    }
    return INTEGER;
}

#endif
