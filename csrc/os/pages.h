/* SPDX-License-Identifier: MIT */
/* Memory of the process, as pages of the system. */
#ifndef OS_PAGES_H
#define OS_PAGES_H

#include <stddef.h>

#define PAGES_LARGE ((size_t)4 << 20) /* bytes from which pages_fill_soon is worth its call */

/* All of it will be filled soon: large pages take fewer faults, where there are any. */
void pages_fill_soon(void *at, size_t size);

#endif
