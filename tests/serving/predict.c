/* Serves one request from a SavedModel without Python, through the loader that TF Serving uses.

   predict FOLDER SIGNATURE < request

   A request has one line a tensor: its name, then its values, all parted by tabs. An input of
   rank 2 takes its width from the signature; `name[5,2]` gives a shape of one's own. Empty tensors:
   a name and nothing behind. The answer has the same form. Exit codes: 0, 1 (usage or loading),
   2 (the request was refused; the error is on stderr). Several requests, parted by an empty line,
   are run one after another on the same session. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MOST_TENSORS 256
#define MOST_DIMS 4

typedef struct {
  char key[256];  /* name in the signature */
  char node[512]; /* operation in the graph */
  int index;      /* which output of it */
  int dtype;
  int rank;
  int64_t dims[MOST_DIMS]; /* -1: any */
} Tensor;

typedef struct {
  Tensor inputs[MOST_TENSORS], outputs[MOST_TENSORS];
  int num_inputs, num_outputs;
} Signature;

static void die(const char* message, const char* detail) {
  fprintf(stderr, "%s %s\n", message, detail);
  exit(1);
}

static void* allocate(size_t size) {
  void* memory = calloc(1, size ? size : 1);
  if (!memory) die("out of memory", "");
  return memory;
}

/* ---- Just enough of the protobuf wire format to read a signature. ---- */

typedef struct {
  const uint8_t *at, *end;
} Slice;

static uint64_t read_varint(Slice* s) {
  uint64_t value = 0;
  for (int shift = 0; s->at < s->end && shift < 64; shift += 7) {
    uint8_t byte = *s->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  die("damaged MetaGraphDef", "");
  return 0;
}

/* Reads the next field; `number` gets its value, `bytes` its content. Returns 0 at the end. */
static int read_field(Slice* s, uint64_t* number, Slice* bytes) {
  if (s->at >= s->end) return 0;
  uint64_t tag = read_varint(s), size = 0;
  *number = 0;
  *bytes = (Slice){s->at, s->at};
  switch (tag & 7) {
    case 0: *number = read_varint(s); break;
    case 1: size = 8; break;
    case 2: size = read_varint(s); break;
    case 5: size = 4; break;
    default: die("damaged MetaGraphDef", "");
  }
  if (size > (uint64_t)(s->end - s->at)) die("damaged MetaGraphDef", "");
  *bytes = (Slice){s->at, s->at + size};
  s->at += size;
  return (int)(tag >> 3);
}

static void copy_text(char* to, size_t room, Slice from) {
  size_t size = (size_t)(from.end - from.at);
  if (size >= room) die("a name is too long", "");
  memcpy(to, from.at, size);
  to[size] = 0;
}

static void read_shape(Slice s, Tensor* tensor) {
  uint64_t number;
  Slice bytes, size;
  for (int field; (field = read_field(&s, &number, &bytes));) {
    if (field != 2) continue; /* dim */
    if (tensor->rank == MOST_DIMS) die("too many dimensions", "");
    int64_t* dim = &tensor->dims[tensor->rank++];
    *dim = 0;
    while ((field = read_field(&bytes, &number, &size))) {
      if (field == 1) *dim = (int64_t)number;
    }
  }
}

static void read_tensor_info(Slice s, Tensor* tensor) {
  uint64_t number;
  Slice bytes;
  for (int field; (field = read_field(&s, &number, &bytes));) {
    if (field == 1) copy_text(tensor->node, sizeof tensor->node, bytes);
    if (field == 2) tensor->dtype = (int)number;
    if (field == 3) read_shape(bytes, tensor);
  }
  char* colon = strrchr(tensor->node, ':');
  if (colon) {
    tensor->index = atoi(colon + 1);
    *colon = 0;
  }
}

static void read_map_entry(Slice s, Tensor* tensors, int* count) {
  if (*count == MOST_TENSORS) die("too many tensors", "");
  Tensor* tensor = &tensors[(*count)++];
  uint64_t number;
  Slice bytes;
  for (int field; (field = read_field(&s, &number, &bytes));) {
    if (field == 1) copy_text(tensor->key, sizeof tensor->key, bytes);
    if (field == 2) read_tensor_info(bytes, tensor);
  }
}

static int by_key(const void* a, const void* b) {
  return strcmp(((const Tensor*)a)->key, ((const Tensor*)b)->key);
}

static int read_signature(const TF_Buffer* meta_graph, const char* wanted, Signature* signature) {
  Slice s = {meta_graph->data, (const uint8_t*)meta_graph->data + meta_graph->length};
  Slice entry, bytes;
  uint64_t number;
  for (int field; (field = read_field(&s, &number, &entry));) {
    if (field != 5) continue; /* signature_def */
    char key[256] = "";
    Slice definition = {0, 0};
    while ((field = read_field(&entry, &number, &bytes))) {
      if (field == 1) copy_text(key, sizeof key, bytes);
      if (field == 2) definition = bytes;
    }
    if (strcmp(key, wanted)) continue;
    while ((field = read_field(&definition, &number, &bytes))) {
      if (field == 1) read_map_entry(bytes, signature->inputs, &signature->num_inputs);
      if (field == 2) read_map_entry(bytes, signature->outputs, &signature->num_outputs);
    }
    /* A map has no order of its own: the file's differs from export to export. */
    qsort(signature->outputs, (size_t)signature->num_outputs, sizeof(Tensor), by_key);
    return 1;
  }
  return 0;
}

/* ---- Requests and answers. ---- */

static size_t parse_value(const char* text, int dtype, char* to) {
  switch (dtype) {
    case TF_INT32: *(int32_t*)to = (int32_t)strtoll(text, 0, 10); return 4;
    case TF_INT64: *(int64_t*)to = strtoll(text, 0, 10); return 8;
    case TF_FLOAT: *(float*)to = strtof(text, 0); return 4;
    case TF_STRING:
      TF_StringInit((TF_TString*)to);
      TF_StringCopy((TF_TString*)to, text, strlen(text));
      return sizeof(TF_TString);
    default: die("a dtype this program does not know", ""); return 0;
  }
}

/* Splits at tabs in place; returns the number of parts. */
static int64_t split(char* line, char*** parts) {
  int64_t count = 1;
  for (char* c = line; *c; ++c) count += *c == '\t';
  *parts = allocate((size_t)count * sizeof(char*));
  count = 0;
  for (char* c = line; c; ) {
    (*parts)[count++] = c;
    c = strchr(c, '\t');
    if (c) *c++ = 0;
  }
  return count;
}

static TF_Tensor* parse_tensor(const Signature* signature, char* line, const Tensor** which) {
  char** parts;
  int64_t count = split(line, &parts) - 1, dims[MOST_DIMS], elements = 1;
  char* shape = strchr(parts[0], '[');
  if (shape) *shape++ = 0;
  *which = 0;
  for (int i = 0; i < signature->num_inputs; ++i) {
    if (!strcmp(signature->inputs[i].key, parts[0])) *which = &signature->inputs[i];
  }
  if (!*which) die("no such input:", parts[0]);
  int rank = (*which)->rank;
  if (shape) {
    for (rank = 0; *shape && *shape != ']' && rank < MOST_DIMS; shape += *shape == ',') {
      dims[rank++] = strtoll(shape, &shape, 10);
    }
  } else {
    int64_t rest = 1;
    for (int i = 1; i < rank; ++i) rest *= dims[i] = (*which)->dims[i];
    dims[0] = count / rest;
  }
  for (int i = 0; i < rank; ++i) elements *= dims[i];
  if (elements != count) die("wrong number of values:", parts[0]);
  char scratch[sizeof(TF_TString)];
  size_t width = (*which)->dtype == TF_STRING ? sizeof scratch
                 : (*which)->dtype == TF_INT64 ? 8 : 4;
  TF_Tensor* tensor =
      TF_AllocateTensor((TF_DataType)(*which)->dtype, dims, rank, width * (size_t)count);
  char* to = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; ++i) to += parse_value(parts[i + 1], (*which)->dtype, to);
  free(parts);
  return tensor;
}

static void print_tensor(const Tensor* info, TF_Tensor* tensor) {
  printf("%s", info->key);
  const float* values = TF_TensorData(tensor);
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); ++i) printf("\t%.9g", values[i]);
  printf("\n");
}

static TF_Output output_of(TF_Graph* graph, const Tensor* tensor) {
  TF_Output output = {TF_GraphOperationByName(graph, tensor->node), tensor->index};
  if (!output.oper) die("no such operation in the graph:", tensor->node);
  return output;
}

static int answer(TF_Session* session, TF_Graph* graph, const Signature* signature, char** lines,
                  int num_lines) {
  TF_Output inputs[MOST_TENSORS], outputs[MOST_TENSORS];
  TF_Tensor *fed[MOST_TENSORS], *fetched[MOST_TENSORS];
  const Tensor* which;
  TF_Status* status = TF_NewStatus();
  for (int i = 0; i < num_lines; ++i) {
    fed[i] = parse_tensor(signature, lines[i], &which);
    inputs[i] = output_of(graph, which);
  }
  for (int i = 0; i < signature->num_outputs; ++i) {
    outputs[i] = output_of(graph, &signature->outputs[i]);
  }
  TF_SessionRun(session, NULL, inputs, fed, num_lines, outputs, fetched, signature->num_outputs,
                NULL, 0, NULL, status);
  int refused = TF_GetCode(status) != TF_OK;
  if (refused) {
    fprintf(stderr, "refused with code %d: %s\n", TF_GetCode(status), TF_Message(status));
    printf("refused\t%d\n", TF_GetCode(status));
  }
  for (int i = 0; i < signature->num_outputs && !refused; ++i) {
    print_tensor(&signature->outputs[i], fetched[i]);
    TF_DeleteTensor(fetched[i]);
  }
  for (int i = 0; i < num_lines; ++i) TF_DeleteTensor(fed[i]);
  TF_DeleteStatus(status);
  return refused;
}

int main(int argc, char** argv) {
  if (argc != 3) die("usage: predict FOLDER SIGNATURE < request; TensorFlow", TF_Version());
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Buffer* meta_graph = TF_NewBuffer();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph,
                                                     meta_graph, status);
  if (TF_GetCode(status) != TF_OK) die("cannot load:", TF_Message(status));
  Signature* signature = allocate(sizeof(Signature));
  if (!read_signature(meta_graph, argv[2], signature)) die("no such signature:", argv[2]);

  char *line = NULL, *lines[MOST_TENSORS];
  size_t room = 0;
  int num_lines = 0, refused = 0;
  for (ssize_t size; (size = getline(&line, &room, stdin)) >= 0 || num_lines;) {
    if (size > 0 && line[size - 1] == '\n') line[--size] = 0;
    if (size > 0) {
      if (num_lines == MOST_TENSORS) die("too many tensors", "");
      lines[num_lines++] = strdup(line);
      continue;
    }
    refused |= answer(session, graph, signature, lines, num_lines);
    while (num_lines) free(lines[--num_lines]);
  }
  fflush(stdout);
  free(line);
  free(signature);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteBuffer(meta_graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return refused ? 2 : 0;
}
