// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/garbage.h"
