/* Finds clock_gettime in the vDSO: AT_SYSINFO_EHDR is the address of an ELF image, whose dynamic
 * section leads to symbols, names and a hash table; the table is only asked how many symbols there
 * are. Newer kernels leave DT_HASH out, older ones DT_GNU_HASH. */
#include "proxy/clock/preload/preload.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>

struct image {
    uintptr_t load_offset; /* what to add to an address in the image */
    const ElfW(Sym) * symbols;
    const char *names;
    const uint32_t *hash, *gnu_hash;
};

static uint32_t count_by_gnu_hash(const uint32_t *table)
{
    uint32_t bucket_count = table[0], first_symbol = table[1], bloom_words = table[2];
    const uint32_t *buckets = table + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chains = buckets + bucket_count;
    uint32_t last = 0;
    for (uint32_t i = 0; i < bucket_count; i++)
        if (buckets[i] > last)
            last = buckets[i];
    if (last < first_symbol)
        return first_symbol;
    while (!(chains[last - first_symbol] & 1))
        last++;
    return last + 1;
}

static bool read_headers(uintptr_t base, struct image *image, const ElfW(Dyn) * *dynamic)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)base;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(base + header->e_phoff);
    bool loaded = false;
    *dynamic = NULL;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD && !loaded) {
            image->load_offset = base + segments[i].p_offset - segments[i].p_vaddr;
            loaded = true;
        } else if (segments[i].p_type == PT_DYNAMIC) {
            *dynamic = (const ElfW(Dyn) *)(base + segments[i].p_offset);
        }
    }
    return loaded && *dynamic;
}

static bool read_image(uintptr_t base, struct image *image)
{
    const ElfW(Dyn) * dynamic;
    if (!read_headers(base, image, &dynamic))
        return false;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        uintptr_t address = image->load_offset + dynamic->d_un.d_ptr;
        switch (dynamic->d_tag) {
        case DT_STRTAB:
            image->names = (const char *)address;
            break;
        case DT_SYMTAB:
            image->symbols = (const ElfW(Sym) *)address;
            break;
        case DT_HASH:
            image->hash = (const uint32_t *)address;
            break;
        case DT_GNU_HASH:
            image->gnu_hash = (const uint32_t *)address;
            break;
        default:
            break;
        }
    }
    return image->names && image->symbols && (image->hash || image->gnu_hash);
}

preload_clock_fn preload_find_vdso_clock(void)
{
    struct image image = {0};
    uintptr_t base = (uintptr_t)getauxval(AT_SYSINFO_EHDR);
    if (!base || !read_image(base, &image))
        return NULL;
    uint32_t count = image.hash ? image.hash[1] : count_by_gnu_hash(image.gnu_hash);
    for (uint32_t i = 0; i < count; i++) {
        const ElfW(Sym) *symbol = &image.symbols[i];
        const char *name = image.names + symbol->st_name;
        if (symbol->st_shndx == SHN_UNDEF || (symbol->st_info & 0xf) != STT_FUNC)
            continue;
        if (strcmp(name, "__vdso_clock_gettime") == 0 ||
            strcmp(name, "__kernel_clock_gettime") == 0)
            return (preload_clock_fn)(image.load_offset + symbol->st_value);
    }
    return NULL;
}
