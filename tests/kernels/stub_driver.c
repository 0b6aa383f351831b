/* A CUDA driver without a device: modules are "loaded", and a launch calls the function of that name in the library that
   STUB_KERNELS names (the host build of kernels/cuda). Writes down what it is asked, for the test to read. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char log_text[1 << 16];
static void* current;
static int capture_mode;
static void* kernels;

#define SAY(...) snprintf(log_text + strlen(log_text), sizeof log_text - strlen(log_text), __VA_ARGS__)

const char* stub_log(void) { return log_text; }
void stub_clear(void) { log_text[0] = 0; }
void stub_make_current(void* context) { current = context; }
void* stub_current(void) { return current; }
int stub_capture_mode(void) { return capture_mode; }

int cuInit(unsigned flags) { return flags == 0 ? 0 : 1; }

int cuGetErrorString(int code, const char** text) {
  *text = code == 200 ? "device kernel image is invalid" : code == 500 ? "named symbol not found" : "something else";
  return 0;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = 100 + ordinal;
  return ordinal < 2 ? 0 : 101;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  *value = attribute == 75 ? 9 : attribute == 76 ? device - 100 : -1;
  return 0;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = (void*)(intptr_t)(1000 + device);
  return 0;
}

int cuCtxGetCurrent(void** context) {
  *context = current;
  return 0;
}

static void* below[16];
static int depth;

int cuCtxPushCurrent_v2(void* context) {
  below[depth++] = current;
  current = context;
  SAY("push\n");
  return 0;
}

int cuCtxPopCurrent_v2(void** context) {
  *context = current;
  current = below[--depth];
  SAY("pop\n");
  return 0;
}

int cuThreadExchangeStreamCaptureMode(int* mode) {
  const int before = capture_mode;
  capture_mode = *mode;
  *mode = before;
  return 0;
}

int cuModuleLoadData(void** module, const char* image) {
  if (capture_mode != 2) return 901;
  if (strncmp(image, "GOOD", 4) != 0) return 200;
  SAY("load %s\n", image);
  *module = (void*)(intptr_t)77;
  return 0;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  if (kernels == NULL) kernels = dlopen(getenv("STUB_KERNELS"), RTLD_NOW);
  *function = module == (void*)(intptr_t)77 && kernels != NULL ? dlsym(kernels, name) : NULL;
  return *function == NULL ? 500 : 0;
}

int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz,
                   unsigned shared, void* stream, void** arguments, void** extra) {
  if (y != 1 || z != 1 || ty != 1 || tz != 1 || threads != 256 || shared != 0 || extra != NULL || x == 0) return 1;
  if (capture_mode == 2) return 902;
  SAY("launch in %ld on %ld\n", (long)(intptr_t)current, (long)(intptr_t)stream);
  ((void (*)(unsigned, const void*))function)(x, arguments[0]);
  return 0;
}
