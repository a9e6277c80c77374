"""What each table of a TFLite FlatBuffer holds, as far as a reader must know not to go astray.

Source: ``schema.fbs`` of LiteRT 2.3. A table is a tuple of fields by their number; a field is one
of these letters, or a table's name. An option table that is not here is skipped, not refused.

- ``b B ? i I q Q f``: a number, as `struct` names it
- ``s``: a string
- ``*`` and a letter: a vector of numbers; ``*`` and a name: a vector of tables
- ``|`` and a name: a union; the field before it is its type
- ``-``: a field no longer in use
"""

from __future__ import annotations

_TABLES = """
Model I *OperatorCode *SubGraph s *Buffer *i *Metadata *SignatureDef *ExternalBufferGroup
 *ExternalBuffer
OperatorCode b s i i
SubGraph *Tensor *i *i *Operator s i
Tensor *i b I s QuantizationParameters ? SparsityParameters *i ? *VariantSubType I
QuantizationParameters *f *f *f *q B |Quantization i
CustomQuantization *B
BlockwiseQuantization i i i
SparsityParameters *i *i *DimensionMetadata
DimensionMetadata b i B |SparseIndex B |SparseIndex
Int32Vector *i
Uint16Vector *H
Uint8Vector *B
VariantSubType *i b ?
Buffer *B Q Q
Metadata s I
TensorMap s I
SignatureDef *TensorMap *TensorMap s - I
ExternalBufferGroup s
ExternalBuffer I I Q Q s
Operator I *i *i B |Options *B b *? *i Q Q B |Options2 i
"""
_OPTIONS = """
Conv2D b i i b i i b
DepthwiseConv2D b i i i b i i
ConcatEmbeddings i *i *i
LSHProjection b
Pool2D b i i i i b
SVDF i b ?
RNN b ?
FullyConnected b b ? ? b *B
Softmax f
Concatenation i b
Add b ?
L2Norm b
LocalResponseNormalization i f f f
LSTM b f f b ?
ResizeBilinear - - ? ?
Call I
Reshape *i
SkipGram i i ?
SpaceToDepth i
EmbeddingLookupSparse b
Mul b
Pad
Gather i i
BatchToSpaceND
SpaceToBatchND
Transpose
Reducer ?
Sub b ?
Div b
Squeeze *i
SequenceRNN ? b ?
StridedSlice i i i i i ?
Exp
TopKV2
Split i
LogSoftmax
Cast b b
Dequantize
MaximumMinimum
ArgMax b
Less
Neg
PadV2
Greater
GreaterEqual
LessEqual
Select
Slice
TransposeConv b i i b b
SparseToDense ?
Tile
ExpandDims
Equal
NotEqual
Shape b
Pow
ArgMin b
FakeQuant f f i ?
Pack i i
LogicalOr
OneHot i
LogicalAnd
LogicalNot
Unpack i i
FloorDiv
Square
ZerosLike
Fill
BidirectionalSequenceLSTM b f f ? ? ?
BidirectionalSequenceRNN ? b ? ?
UnidirectionalSequenceLSTM b f f ? ? ?
FloorMod
Range
ResizeNearestNeighbor ? ?
LeakyRelu f
SquaredDifference
MirrorPad b
Abs
SplitV i
Unique b
ReverseV2
AddN
GatherNd
Cos
Where
Rank
ReverseSequence i i
MatrixDiag
Quantize
MatrixSetDiag
HardSwish
If i i
While i i
DepthToSpace i
NonMaxSuppressionV4
NonMaxSuppressionV5
ScatterNd
SelectV2
Densify
SegmentSum
BatchMatMul ? ? ?
Cumsum ? ?
CallOnce i
BroadcastTo
Rfft2d
Conv3D b i i i b i i i
Hashtable i b b
HashtableFind
HashtableImport
HashtableSize
VarHandle s s
ReadVariable
AssignVariable
Random q q
Bucketize *f
Gelu ?
DynamicUpdateSlice
UnsortedSegmentProd
UnsortedSegmentMax
UnsortedSegmentMin
UnsortedSegmentSum
ATan2
Sign
Bitcast
BitwiseXor
RightShift
"""
_OPTIONS_2 = """
StablehloConcatenate q
StablehloBroadcastInDim *q
StablehloSlice *q *q *q
StablehloConvolution *q *q *q *q *? q q *q q q *q q q *q q q *I
StablehloCustomCall s ? s i *i *B
StablehloReduce *q i
StablehloScatter ? *q *q *q q ? i
StablehloCompare I I
StablehloDynamicSlice *q
StablehloPad *q *q *q
StablehloIota q
StablehloDotGeneral *q *q *q *q *I
StablehloReduceWindow *q *q *q *q *q i
StablehloSort q ? i
StablehloWhile i i
StablehloGather *q *q *q q *q ?
StablehloTranspose *q
Dilate
StablehloRngBitGenerator b
ReduceWindow i
StableHLOComposite s i *B b i
StablehloShiftLeft
StablehloCase *i
"""


def _parse(listing: str) -> dict[str, tuple[str, ...]]:
    lines = listing.replace("\n ", " ").strip().splitlines()
    return {words[0]: tuple(words[1:]) for words in map(str.split, lines)}


OPTIONS: dict[str, tuple[str, ...]] = _parse(_OPTIONS)
OPTIONS_2: dict[str, tuple[str, ...]] = _parse(_OPTIONS_2)
TABLES: dict[str, tuple[str, ...]] = {
    **_parse(_TABLES),
    **{f"Options.{name}": fields for name, fields in OPTIONS.items()},
    **{f"Options2.{name}": fields for name, fields in OPTIONS_2.items()},
}
"""Fields of each table, by its name; option tables have their union's name in front."""

UNIONS: dict[str, tuple[str | None, ...]] = {
    "Options": (None, *(f"Options.{name}" for name in OPTIONS)),
    "Options2": (None, *(f"Options2.{name}" for name in OPTIONS_2)),
    "Quantization": (None, "CustomQuantization", "BlockwiseQuantization"),
    "SparseIndex": (None, "Int32Vector", "Uint16Vector", "Uint8Vector"),
}
"""The table that each type of a union stands for."""
