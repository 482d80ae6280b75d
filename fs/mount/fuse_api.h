// SPDX-License-Identifier: GPL-3.0-or-later
// libfuse's low-level API, in the one version that Cairn is written for. Only operations.cpp and session.cpp include
// it.
#pragma once

#define FUSE_USE_VERSION 314

#include <fuse3/fuse_log.h>
#include <fuse3/fuse_lowlevel.h>
