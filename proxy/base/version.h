/* The one version of everything that this tree builds. */
#ifndef SEVER_BASE_VERSION_H
#define SEVER_BASE_VERSION_H

#define SEVER_VERSION "0.1.0"

#endif
