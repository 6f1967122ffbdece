// Model of Gowin's MULT9X9, as far as hw/tensor/multiplier/gowin.py uses it: any other setting ends the simulation.
//
// Behaviour by Gowin UG287, "Gowin DSP User Guide": operands of 9 bits, signed where ASIGN and BSIGN say so; registers for A, behind the partial products and for
// the output, all on CLK, enabled by CE, reset by RESET.
module MULT9X9 (
  input [8:0] A, SIA, B, SIB,
  input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
  output [17:0] DOUT,
  output [8:0] SOA, SOB
);
  parameter AREG = 1'b0, BREG = 1'b0, OUT_REG = 1'b0, PIPE_REG = 1'b0, ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0;
  parameter MULT_RESET_MODE = "SYNC";

  initial begin
    if (OUT_REG != 1'b1) $fatal(1, "MULT9X9: OUT_REG must be 1");
    if (BREG != 1'b0 || ASIGN_REG != 1'b0 || BSIGN_REG != 1'b0 || SOA_REG != 1'b0) $fatal(1, "MULT9X9: BREG, ASIGN_REG, BSIGN_REG, SOA_REG must be 0");
    if (MULT_RESET_MODE != "SYNC") $fatal(1, "MULT9X9: MULT_RESET_MODE must be SYNC");
  end

  wire signed [9:0] a = {ASIGN & A[8], A};
  wire signed [9:0] b = {BSIGN & B[8], B};
  reg signed [9:0] held_a;
  wire signed [9:0] front_a = AREG == 1'b0 ? a : held_a;
  wire signed [19:0] product = front_a * b;
  reg signed [19:0] piped, out;
  always @(posedge CLK) if (CE) begin
    held_a <= RESET ? 10'd0 : a;
    piped <= RESET ? 20'd0 : product;
    out <= RESET ? 20'd0 : PIPE_REG == 1'b0 ? product : piped;
  end
  assign DOUT = out[17:0];
  assign SOA = 9'd0;
  assign SOB = 9'd0;
endmodule
