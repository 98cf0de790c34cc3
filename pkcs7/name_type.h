/* Private to pkcs7/. */
#pragma once

#include "pkcs7/name.h"

const struct name_type *name_type_by_nid(int nid); /* NULL: not issued */
