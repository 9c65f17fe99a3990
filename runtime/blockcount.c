/* What the emulated program executes, and what it touches: callbacks for Unicorn, compiled when first needed.
 *
 * tinyir_on_block is called at each basic block (UC_HOOK_BLOCK). It counts the transitions between blocks, from which
 * all other counts follow, keeps the number of the op that is running, and stops a program that has run too long.
 * tinyir_on_access is called at each load and store (UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE) and stops the program at
 * the first one outside the ranges it may touch, or that the Cortex-M7 would refuse as unaligned. tinyir_on_invalid is
 * called when Unicorn itself refuses an access (UC_HOOK_MEM_INVALID), because nothing is mapped or may be done there.
 * Only tinyir_on_access lets the program go on after Unicorn has brought its registers up to date: see forget_it_state.
 *
 * An op runs from the entry of its kernel to the entry of the next op's kernel; before the first, op 0 runs. An entry
 * is the first block of the kernel that is expected next, reached from outside that kernel: a loop back to the first
 * instruction is none. A block executed in two ops is two blocks here.
 *
 * The layout of struct tracer and of the records is repeated in native.py. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { BUCKETS = 1 << 14, LOAD_BUCKETS = 1 << 12, TOLERANT = 256, MAX_RANGES = 64, MAX_BLOCK_BYTES = 4096, NEW_HABIT = 1,
       IT_STATE = 0x0600fc00 };   /* the bits of the CPSR that say where in an IT block the core is */
enum stop { STOP_NONE, STOP_LIMIT, STOP_READ, STOP_WRITE, STOP_FETCH, STOP_UNALIGNED, STOP_MEMORY };
enum { UC_MEM_WRITE = 17, UC_MEM_WRITE_UNMAPPED = 20, UC_MEM_FETCH_UNMAPPED = 21, UC_MEM_WRITE_PROT = 22,
       UC_MEM_FETCH_PROT = 24 };

struct edge {
    struct block *to;
    struct edge *next;
    uint64_t count, mispredicted;
};

struct block {
    uint32_t address, bytes, instructions, op, number;
    uint32_t habit, target;             /* what the branch at its end did last: see predicts */
    struct edge *edges;
    struct block *next, *next_in_bucket;
};

/* What the load at `pc` read: how often, how often from no multiple of its size, how often from the bank of memory,
 * bit 2 of the address, that the load before it read. */
struct load {
    uint32_t pc, padding;
    uint64_t count, unaligned, clashes;
    struct load *next, *next_in_bucket;
};

struct span { uint32_t begin, end; };
struct range { uint32_t begin, end, writable; };

struct tracer {
    /* Given by the caller. Functions of libunicorn, by address. */
    int (*emu_stop)(void *uc);
    int (*mem_read)(void *uc, uint64_t address, void *bytes, size_t size);
    int (*reg_read)(void *uc, int reg, void *value);
    int (*reg_write)(void *uc, int reg, const void *value);
    void (*observer)(uint32_t op);     /* called when an op is over and another one begins; may be 0 */
    const struct span *kernels;         /* addresses of the kernel of each op, in the order of execution */
    uint64_t limit;                     /* of instructions */
    uint32_t n_kernels;
    int32_t sp_register, pc_register, cpsr_register;
    uint32_t guarding;                  /* whether the ranges below are enforced */
    uint32_t recording;                 /* whether loads are counted, if all of them are seen */
    uint32_t n_ranges;
    struct range ranges[MAX_RANGES];
    /* Told to the caller. */
    uint64_t instructions;
    uint32_t op, entered;               /* the op that runs; how many kernels have been entered */
    uint32_t lowest_sp;                 /* seen at any first transition from one block to another */
    uint32_t n_blocks, n_edges, n_loads;
    uint32_t stop, fault_address, fault_bytes, fault_pc;
    /* Private. */
    uint32_t started;
    uint32_t tolerant[TOLERANT];        /* addresses of instructions known to allow unaligned accesses */
    struct block *here, *blocks, *buckets[BUCKETS];
    struct block root;                  /* stands before the first block of a run */
    uint32_t bank;                      /* of the newest load */
    struct load *loads, *load_buckets[LOAD_BUCKETS];
};

struct block_record { uint32_t address, bytes, instructions, op; };
struct load_record { uint32_t pc, padding; uint64_t count, unaligned, clashes; };
struct edge_record { int32_t from, to; uint64_t count, mispredicted; };   /* from is -1 at the start of a run */

static void stop_at(struct tracer *t, void *uc, enum stop why)
{
    if (t->stop == STOP_NONE) t->stop = why;
    t->emu_stop(uc);
}

static uint32_t register_value(const struct tracer *t, void *uc, int number)
{
    uint32_t value = 0;
    t->reg_read(uc, number, &value);
    return value;
}

/* A Thumb instruction has 32 bits when its first halfword begins with 0b11101, 0b11110 or 0b11111. */
static uint32_t count_instructions(const uint8_t *code, uint32_t bytes)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i + 1 < bytes; i += code[i + 1] >= 0xe8 ? 4 : 2) n++;
    return n;
}

static struct block *intern(struct tracer *t, void *uc, uint32_t address, uint32_t bytes)
{
    struct block **bucket = &t->buckets[((address >> 1) ^ (t->op << 5)) % BUCKETS];
    for (struct block *b = *bucket; b; b = b->next_in_bucket)
        if (b->address == address && b->bytes == bytes && b->op == t->op) return b;
    uint8_t code[MAX_BLOCK_BYTES];
    struct block *b = calloc(1, sizeof *b);
    if (!b || bytes > sizeof code || t->mem_read(uc, address, code, bytes)) {
        free(b);
        return NULL;
    }
    *b = (struct block){.address = address, .bytes = bytes, .instructions = count_instructions(code, bytes),
                        .op = t->op, .number = t->n_blocks++, .habit = NEW_HABIT, .next = t->blocks, .next_in_bucket = *bucket};
    *bucket = t->blocks = b;
    return b;
}

static struct edge *first_transition(struct tracer *t, void *uc, uint32_t address, uint32_t bytes)
{
    struct edge *e = calloc(1, sizeof *e);
    uint32_t sp = register_value(t, uc, t->sp_register);
    if (!e || !(e->to = intern(t, uc, address, bytes))) {
        free(e);
        return NULL;
    }
    if (sp < t->lowest_sp) t->lowest_sp = sp;
    e->next = t->here->edges;
    t->here->edges = e;
    t->n_edges++;
    return e;
}

static void enter_kernel(struct tracer *t)
{
    uint32_t finished = t->op;
    t->op = t->entered++;
    if (t->observer && t->op > 0) t->observer(finished);
}

static bool leads_to(const struct edge *e, uint32_t address, uint32_t bytes, uint32_t op)
{
    return e->to->address == address && e->to->bytes == bytes && e->to->op == op;
}

/* Where `address` and `bytes` lead from here: found among the known transitions and moved to their front, or made. */
static struct edge *transition(struct tracer *t, void *uc, uint32_t address, uint32_t bytes)
{
    struct edge **link = &t->here->edges, *e = *link;
    if (e && leads_to(e, address, bytes, t->op)) return e;
    while ((e = *link) && !leads_to(e, address, bytes, t->op)) link = &e->next;
    if (!e) return first_transition(t, uc, address, bytes);
    *link = e->next;
    e->next = t->here->edges;
    t->here->edges = e;
    return e;
}

/* Whether the branch at the end of a block is predicted to lead to `address`: taken or not by a counter of two bits,
 * and if taken, to where it went last. The first time, it is predicted not to be taken. */
static bool predicts(struct block *from, uint32_t address)
{
    bool taken = address != from->address + from->bytes;
    bool right = taken == (from->habit >= 2) && (!taken || from->target == address);
    if (taken && from->habit < 3) from->habit++;
    else if (!taken && from->habit > 0) from->habit--;
    if (taken) from->target = address;
    return right;
}

void tinyir_on_block(void *uc, uint64_t address64, uint32_t bytes, void *user)
{
    struct tracer *t = user;
    uint32_t address = (uint32_t)address64;
    if (!t->started) return;
    if (t->entered < t->n_kernels && address == t->kernels[t->entered].begin) {
        struct span kernel = t->kernels[t->entered];
        if (t->here->address < kernel.begin || t->here->address >= kernel.end) enter_kernel(t);
    }
    struct edge *e = transition(t, uc, address, bytes);
    if (!e) {
        stop_at(t, uc, STOP_MEMORY);
        return;
    }
    e->count++;
    e->mispredicted += !predicts(t->here, address);
    t->here = e->to;
    t->instructions += e->to->instructions;
    if (t->instructions > t->limit) stop_at(t, uc, STOP_LIMIT);
}

/* Whether the instruction at the PC may use an unaligned address: LDR, STR and their halfword forms may; those of
 * several registers or of the FPU (LDM, LDRD, PUSH, VLDR, ...) and the exclusive ones may not. */
static bool may_be_unaligned(const uint8_t *code)
{
    uint32_t first = code[0] | (uint32_t)code[1] << 8;
    if ((first & 0xf000) == 0xc000) return false;                               /* LDM, STM, 16 bits */
    if ((first & 0xfe00) == 0xe800) return false;                               /* LDM, LDRD, LDREX and STs */
    return (first & 0xfe00) != 0xec00 && (first & 0xf600) != 0xb400;            /* VLDR, VLDM; PUSH, POP */
}

static void refuse(struct tracer *t, void *uc, enum stop why, uint32_t address, uint32_t bytes)
{
    if (t->stop == STOP_NONE) {
        t->fault_address = address;
        t->fault_bytes = bytes;
        t->fault_pc = register_value(t, uc, t->pc_register);
    }
    stop_at(t, uc, why);
}

static void check_alignment(struct tracer *t, void *uc, uint32_t address, uint32_t bytes)
{
    uint32_t pc = register_value(t, uc, t->pc_register), *known = &t->tolerant[(pc >> 1) % TOLERANT];
    uint8_t code[2];
    if (*known == pc || t->mem_read(uc, pc & ~1u, code, sizeof code)) return;
    if (may_be_unaligned(code)) *known = pc;
    else refuse(t, uc, STOP_UNALIGNED, address, bytes);
}

/* Unicorn translates code by blocks, and while one runs, the IT state of the core is 0: what is conditional has become
 * branches. For the callback of an access it brings PC and IT state up to date, and leaves them so (its issue 2309): the
 * next block would be executed as the rest of an IT block that is long over. */
static void forget_it_state(const struct tracer *t, void *uc)
{
    uint32_t cpsr = register_value(t, uc, t->cpsr_register);
    if ((cpsr & IT_STATE) == 0) return;
    cpsr &= ~(uint32_t)IT_STATE;
    t->reg_write(uc, t->cpsr_register, &cpsr);
}

static struct load *load_at(struct tracer *t, uint32_t pc)
{
    struct load **bucket = &t->load_buckets[(pc >> 1) % LOAD_BUCKETS], *known = *bucket;
    while (known && known->pc != pc) known = known->next_in_bucket;
    if (known) return known;
    struct load *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    *made = (struct load){.pc = pc, .next = t->loads, .next_in_bucket = *bucket};
    t->n_loads++;
    return *bucket = t->loads = made;
}

static void record_load(struct tracer *t, void *uc, uint32_t address, bool unaligned)
{
    struct load *load = load_at(t, register_value(t, uc, t->pc_register) & ~1u);
    if (!load) {
        stop_at(t, uc, STOP_MEMORY);
        return;
    }
    load->count++;
    load->unaligned += unaligned;
    load->clashes += (address >> 2 & 1) == t->bank;
    t->bank = address >> 2 & 1;
}

void tinyir_on_access(void *uc, int type, uint64_t address64, int size, int64_t value, void *user)
{
    struct tracer *t = user;
    uint32_t begin = (uint32_t)address64, bytes = (uint32_t)size, end = begin + bytes;
    bool write = type == UC_MEM_WRITE, allowed = false, unaligned = (begin & (bytes < 4 ? bytes - 1 : 3)) != 0;
    (void)value;
    forget_it_state(t, uc);
    if (!t->guarding) return;
    for (const struct range *r = t->ranges; !allowed && r < t->ranges + t->n_ranges; r++)
        allowed = begin >= r->begin && end <= r->end && (!write || r->writable);
    if (!allowed) refuse(t, uc, write ? STOP_WRITE : STOP_READ, begin, bytes);
    else if (unaligned) check_alignment(t, uc, begin, bytes);
    if (t->recording && !write) record_load(t, uc, begin, unaligned);
}

bool tinyir_on_invalid(void *uc, int type, uint64_t address, int size, int64_t value, void *user)
{
    bool write = type == UC_MEM_WRITE_UNMAPPED || type == UC_MEM_WRITE_PROT;
    bool fetch = type == UC_MEM_FETCH_UNMAPPED || type == UC_MEM_FETCH_PROT;
    (void)value;
    refuse(user, uc, write ? STOP_WRITE : fetch ? STOP_FETCH : STOP_READ, (uint32_t)address, (uint32_t)size);
    return false;
}

static void forget(struct block *b)
{
    b->habit = NEW_HABIT;
    b->target = 0;
    for (struct edge *e = b->edges; e; e = e->next) e->count = e->mispredicted = 0;
}

/* Begin a run: all counts become 0. */
void tinyir_start(struct tracer *t)
{
    for (struct block *b = t->blocks; b; b = b->next) forget(b);
    forget(&t->root);
    for (struct load *load = t->loads; load; load = load->next) load->count = load->unaligned = load->clashes = 0;
    t->instructions = t->bank = 0;
    t->op = t->entered = t->fault_address = t->fault_bytes = t->fault_pc = 0;
    t->stop = STOP_NONE;
    t->here = &t->root;
    t->started = 1;
}

static struct edge_record *export_edges(const struct edge *e, int32_t from, struct edge_record *to)
{
    for (; e; e = e->next) *to++ = (struct edge_record){from, (int32_t)e->to->number, e->count, e->mispredicted};
    return to;
}

/* Copy everything counted: n_blocks blocks, in the order of their numbers, n_edges transitions and n_loads loads. */
void tinyir_export(const struct tracer *t, struct block_record *blocks, struct edge_record *edges,
                   struct load_record *loads)
{
    for (const struct load *load = t->loads; load; load = load->next)
        *loads++ = (struct load_record){load->pc, 0, load->count, load->unaligned, load->clashes};
    edges = export_edges(t->root.edges, -1, edges);
    for (const struct block *b = t->blocks; b; b = b->next) {
        blocks[b->number] = (struct block_record){b->address, b->bytes, b->instructions, b->op};
        edges = export_edges(b->edges, (int32_t)b->number, edges);
    }
}

static void free_edges(struct edge *e)
{
    while (e) {
        struct edge *next = e->next;
        free(e);
        e = next;
    }
}

struct tracer *tinyir_new(void)
{
    return calloc(1, sizeof(struct tracer));
}

void tinyir_free(struct tracer *t)
{
    free_edges(t->root.edges);
    for (struct block *b = t->blocks, *next; b; b = next) {
        next = b->next;
        free_edges(b->edges);
        free(b);
    }
    for (struct load *load = t->loads, *next; load; load = next) {
        next = load->next;
        free(load);
    }
    free(t);
}
