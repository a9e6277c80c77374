"""How many tensors each builtin TFLite operator takes and gives, and which options it needs.

Kernels read the tensors they expect without counting them first.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.guard_tflite_schema import OPTIONS, OPTIONS_2

_ANY = 1 << 20
_LISTING = """
ADD Add 2 1
AVERAGE_POOL_2D Pool2D! 1 1
CONCATENATION Concatenation! 1+ 1
CONV_2D Conv2D! 2-3:2 1
DEPTHWISE_CONV_2D DepthwiseConv2D! 3 1
DEPTH_TO_SPACE DepthToSpace! 1 1
DEQUANTIZE Dequantize 1 1
EMBEDDING_LOOKUP - 2 1
FLOOR - 1 1
FULLY_CONNECTED FullyConnected! 2-3:2 1-2
HASHTABLE_LOOKUP - 3 2
L2_NORMALIZATION L2Norm 1 1
L2_POOL_2D Pool2D! 1 1
LOCAL_RESPONSE_NORMALIZATION LocalResponseNormalization! 1 1
LOGISTIC - 1 1
LSH_PROJECTION LSHProjection! 2-3:2 1
LSTM LSTM! 5-24:1 1-4
MAX_POOL_2D Pool2D! 1 1
MUL Mul 2 1
RELU - 1 1
RELU_N1_TO_1 - 1 1
RELU6 - 1 1
RESHAPE Reshape 1-2 1
RESIZE_BILINEAR ResizeBilinear 2 1
RNN RNN! 5 1
SOFTMAX Softmax! 1 1
SPACE_TO_DEPTH SpaceToDepth! 1 1
SVDF SVDF! 5:3 1
TANH - 1 1
SKIP_GRAM SkipGram! 1 1
EMBEDDING_LOOKUP_SPARSE EmbeddingLookupSparse! 5 1
PAD Pad 2 1
UNIDIRECTIONAL_SEQUENCE_RNN SequenceRNN! 5 1
GATHER Gather 2 1
BATCH_TO_SPACE_ND BatchToSpaceND 3 1
SPACE_TO_BATCH_ND SpaceToBatchND 3 1
TRANSPOSE Transpose 2 1
MEAN Reducer 2 1
SUB Sub 2 1
DIV Div 2 1
SQUEEZE Squeeze! 1 1
UNIDIRECTIONAL_SEQUENCE_LSTM UnidirectionalSequenceLSTM! 20-24:1 1
STRIDED_SLICE StridedSlice! 4-5 1
BIDIRECTIONAL_SEQUENCE_RNN BidirectionalSequenceRNN! 12:4 1-2
EXP Exp 1 1
TOPK_V2 TopKV2 2 2
SPLIT Split! 2 1+
LOG_SOFTMAX LogSoftmax 1 1
BIDIRECTIONAL_SEQUENCE_LSTM BidirectionalSequenceLSTM! 39-48:1 1-2
CAST Cast 1 1
PRELU - 2 1
MAXIMUM MaximumMinimum 2 1
ARG_MAX ArgMax 2 1
MINIMUM MaximumMinimum 2 1
LESS Less 2 1
NEG Neg 1 1
PADV2 PadV2 3 1
GREATER Greater 2 1
GREATER_EQUAL GreaterEqual 2 1
LESS_EQUAL LessEqual 2 1
SELECT Select 3 1
SLICE Slice 3 1
SIN - 1 1
TRANSPOSE_CONV TransposeConv! 3-4:3 1
SPARSE_TO_DENSE SparseToDense 4 1
TILE Tile 2 1
EXPAND_DIMS ExpandDims 2 1
EQUAL Equal 2 1
NOT_EQUAL NotEqual 2 1
LOG - 1 1
SUM Reducer 2 1
SQRT - 1 1
RSQRT - 1 1
SHAPE Shape 1 1
POW Pow 2 1
ARG_MIN ArgMin 2 1
FAKE_QUANT FakeQuant! 1 1
REDUCE_PROD Reducer 2 1
REDUCE_MAX Reducer 2 1
PACK Pack! 1+ 1
LOGICAL_OR LogicalOr 2 1
ONE_HOT OneHot! 4 1
LOGICAL_AND LogicalAnd 2 1
LOGICAL_NOT LogicalNot 1 1
UNPACK Unpack! 1 1+
REDUCE_MIN Reducer 2 1
FLOOR_DIV FloorDiv 2 1
REDUCE_ANY Reducer 2 1
SQUARE Square 1 1
ZEROS_LIKE ZerosLike 1 1
FILL Fill 2 1
FLOOR_MOD FloorMod 2 1
RANGE Range 3 1
RESIZE_NEAREST_NEIGHBOR ResizeNearestNeighbor 2 1
LEAKY_RELU LeakyRelu! 1 1
SQUARED_DIFFERENCE SquaredDifference 2 1
MIRROR_PAD MirrorPad! 2 1
ABS Abs 1 1
SPLIT_V SplitV! 3 1+
UNIQUE Unique! 1 2
CEIL - 1 1
REVERSE_V2 ReverseV2 2 1
ADD_N AddN 1+ 1
GATHER_ND GatherNd 2 1
COS Cos 1 1
WHERE Where 1 1
RANK Rank 1 1
ELU - 1 1
REVERSE_SEQUENCE ReverseSequence! 2 1
MATRIX_DIAG MatrixDiag 1 1
QUANTIZE Quantize 1 1
MATRIX_SET_DIAG MatrixSetDiag 2 1
ROUND - 1 1
HARD_SWISH HardSwish 1 1
IF If! 1+ 0+
WHILE While! 0+ 0+
NON_MAX_SUPPRESSION_V4 NonMaxSuppressionV4 5 2
NON_MAX_SUPPRESSION_V5 NonMaxSuppressionV5 6 3
SCATTER_ND ScatterNd 3 1
SELECT_V2 SelectV2 3 1
DENSIFY Densify 1 1
SEGMENT_SUM SegmentSum 2 1
BATCH_MATMUL BatchMatMul! 2 1
CUMSUM Cumsum! 2 1
CALL_ONCE CallOnce! 0 0
BROADCAST_TO BroadcastTo 2 1
RFFT2D Rfft2d 2 1
CONV_3D Conv3D! 2-3:2 1
IMAG - 1 1
REAL - 1 1
COMPLEX_ABS - 1 1
HASHTABLE Hashtable! 0 1
HASHTABLE_FIND HashtableFind 3 1
HASHTABLE_IMPORT HashtableImport 3 0
HASHTABLE_SIZE HashtableSize 1 1
REDUCE_ALL Reducer 2 1
CONV_3D_TRANSPOSE Conv3D! 3-4:3 1
VAR_HANDLE VarHandle! 0 1
READ_VARIABLE ReadVariable 1 1
ASSIGN_VARIABLE AssignVariable 2 0
BROADCAST_ARGS - 2 1
RANDOM_STANDARD_NORMAL Random! 1 1
BUCKETIZE Bucketize! 1 1
RANDOM_UNIFORM Random! 1 1
MULTINOMIAL Random! 2 1
GELU Gelu! 1 1
DYNAMIC_UPDATE_SLICE DynamicUpdateSlice 3 1
UNSORTED_SEGMENT_PROD UnsortedSegmentProd 3 1
UNSORTED_SEGMENT_MAX UnsortedSegmentMax 3 1
UNSORTED_SEGMENT_SUM UnsortedSegmentSum 3 1
ATAN2 ATan2 2 1
UNSORTED_SEGMENT_MIN UnsortedSegmentMin 3 1
SIGN Sign 1 1
BITCAST Bitcast 1 1
BITWISE_XOR BitwiseXor 2 1
RIGHT_SHIFT RightShift 2 1
STABLEHLO_CONCATENATE StablehloConcatenate! 1+ 1
STABLEHLO_BROADCAST_IN_DIM StablehloBroadcastInDim! 1-2 1
STABLEHLO_SLICE StablehloSlice! 1 1
STABLEHLO_CONVOLUTION StablehloConvolution! 2 1
STABLEHLO_CUSTOM_CALL StablehloCustomCall! 0+ 0+
STABLEHLO_REDUCE StablehloReduce! 2+ 1+
STABLEHLO_SCATTER StablehloScatter! 3 1
STABLEHLO_COMPARE StablehloCompare! 2 1
STABLEHLO_DYNAMIC_SLICE StablehloDynamicSlice! 1+ 1
STABLEHLO_PAD StablehloPad! 2 1
STABLEHLO_IOTA StablehloIota! 0 1
STABLEHLO_DOT_GENERAL StablehloDotGeneral! 2 1
STABLEHLO_REDUCE_WINDOW StablehloReduceWindow! 2 1
STABLEHLO_SORT StablehloSort! 1+ 1+
STABLEHLO_WHILE StablehloWhile! 0+ 0+
STABLEHLO_GATHER StablehloGather! 2 1
STABLEHLO_TRANSPOSE StablehloTranspose! 1 1
DILATE Dilate 3 1
STABLEHLO_RNG_BIT_GENERATOR StablehloRngBitGenerator! 1 2
REDUCE_WINDOW ReduceWindow! 5 1
STABLEHLO_COMPOSITE StableHLOComposite! 0+ 0+
STABLEHLO_CASE StablehloCase! 1+ 0+
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arity:
    """What one operator must look like."""

    least_inputs: int
    most_inputs: int
    optional_from: int
    """The first input that may be left out."""
    least_outputs: int
    most_outputs: int
    options: tuple[int, int]
    """Types of its options in the first and second union."""
    needs_options: bool


def _range(text: str) -> tuple[int, int]:
    if text.endswith("+"):
        return int(text[:-1]), _ANY
    least, _, most = text.partition("-")
    return int(least), int(most or least)


def _parse(line: str) -> tuple[str, Arity]:
    name, options, inputs, outputs = line.split()
    inputs, _, optional = inputs.partition(":")
    least_inputs, most_inputs = _range(inputs)
    least_outputs, most_outputs = _range(outputs)
    kind = options.rstrip("!")
    return name, Arity(
        least_inputs=least_inputs,
        most_inputs=most_inputs,
        optional_from=int(optional or _ANY),
        least_outputs=least_outputs,
        most_outputs=most_outputs,
        options=(
            1 + list(OPTIONS).index(kind) if kind in OPTIONS else 0,
            1 + list(OPTIONS_2).index(kind) if kind in OPTIONS_2 else 0,
        ),
        needs_options=options.endswith("!"),
    )


ARITIES: dict[str, Arity] = dict(map(_parse, _LISTING.strip().splitlines()))
"""By the operator's name; those without a kernel, and newer ones, are not here."""
