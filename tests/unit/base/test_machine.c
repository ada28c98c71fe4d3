// SPDX-License-Identifier: BSD-3-Clause
/* The memory of control groups, as the kernel shows it, below a folder of ours. */
#include "base/machine.h"

#include "store_kit.h"

#include "store/io.h"

static void put(const char *root, const char *path, const char *text)
{
    char full[PATH_MAX], folder[PATH_MAX];
    snprintf(full, sizeof(full), "%s/%s", root, path);
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(full, '/') - full), full);
    assert_int_equal(sc_io_make_folders(sc_io_system(), folder, 0), 0);
    kit_write_file(full, text, strlen(text));
}

static void the_least_limit_counts(void **state)
{
    (void)state;
    char *root = kit_folder();
    uint64_t all = sc_machine_memory(root);
    assert_true(all > UINT64_C(1) << 26);
    put(root, "proc/self/cgroup", "9:cpu:/\n0::/system.slice/a.service\n");
    assert_int_equal(sc_machine_memory(root), all);
    put(root, "sys/fs/cgroup/system.slice/a.service/memory.max", "max\n");
    assert_int_equal(sc_machine_memory(root), all);
    put(root, "sys/fs/cgroup/system.slice/memory.max", "50000000\n");
    assert_int_equal(sc_machine_memory(root), 50000000);
    put(root, "sys/fs/cgroup/system.slice/a.service/memory.max", "20000000\n");
    assert_int_equal(sc_machine_memory(root), 20000000);
    put(root, "sys/fs/cgroup/memory.max", "10000000\n");
    assert_int_equal(sc_machine_memory(root), 10000000);
    put(root, "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9000000\n");
    put(root, "proc/self/cgroup", "4:memory:/x/y\n2:cpuset:/z\nwrong\n");
    assert_int_equal(sc_machine_memory(root), 9000000);
    put(root, "sys/fs/cgroup/memory/x/memory.limit_in_bytes",
        "9223372036854771712\n"); /* what v1 says for none */
    assert_int_equal(sc_machine_memory(root), all);
    put(root, "proc/self/cgroup", "");
    assert_int_equal(sc_machine_memory(root), all);
    kit_remove(root);
}

UNIT(test_machine)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_least_limit_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
