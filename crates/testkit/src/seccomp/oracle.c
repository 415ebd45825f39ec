/* Reads a list in words from standard input and writes what libseccomp makes of it: its filter, or a call's number. */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	scmp_filter_ctx filter = NULL;
	char word[64], name[128];

	while (scanf("%63s", word) == 1) {
		if (!strcmp(word, "resolve")) {
			uint32_t arch;
			if (scanf("%u %127s", &arch, name) != 2)
				return 2;
			printf("%d\n", seccomp_syscall_resolve_name_arch(arch, name));
		} else if (!strcmp(word, "default")) {
			uint32_t action;
			if (scanf("%u", &action) != 1 || !(filter = seccomp_init(action)))
				return 3;
		} else if (!strcmp(word, "arch")) {
			uint32_t arch;
			int ret;
			if (scanf("%u", &arch) != 1)
				return 4;
			ret = seccomp_arch_add(filter, arch);
			if (ret < 0 && ret != -EEXIST)
				return 5;
		} else if (!strcmp(word, "tree")) {
			if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
				return 6;
		} else if (!strcmp(word, "rule")) {
			struct scmp_arg_cmp compare[6];
			uint32_t action;
			int count, number, ret;
			if (scanf("%u %127s %d", &action, name, &count) != 3 || count > 6)
				return 7;
			for (int i = 0; i < count; i++) {
				unsigned int index, op;
				unsigned long long first, second;
				if (scanf("%u %u %llu %llu", &index, &op, &first, &second) != 4)
					return 8;
				compare[i] = (struct scmp_arg_cmp){ index, op, first, second };
			}
			number = seccomp_syscall_resolve_name(name);
			if (number == __NR_SCMP_ERROR)
				continue;
			ret = seccomp_rule_add_array(filter, action, number, count, compare);
			if (ret < 0 && ret != -EEXIST) {
				fprintf(stderr, "rule %s: %s\n", name, strerror(-ret));
				return 9;
			}
		} else {
			return 10;
		}
	}
	fflush(stdout);
	return filter && seccomp_export_bpf(filter, 1) < 0 ? 11 : 0;
}
