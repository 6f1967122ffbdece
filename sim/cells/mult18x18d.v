// Model of the ECP5's MULT18X18D, as far as hw/common/mult18x18d.py uses it: any other setting ends the simulation.
//
// Behaviour by Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage Guide": operands signed where SIGNEDA and SIGNEDB say so; input registers A and B
// with a clock enable each; a pipeline register; an output register. All on CLK0, enabled by CE0 or CE1, reset by RST0, synchronously. An input without a net is 0.
module MULT18X18D (
  input
    A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
  output
    P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
  parameter REG_INPUTC_CLK = "NONE", REG_INPUTC_CE = "CE0", REG_INPUTC_RST = "RST0";
  parameter REG_PIPELINE_CLK = "NONE", REG_PIPELINE_CE = "CE0", REG_PIPELINE_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0";
  parameter CLK0_DIV = "ENABLED", CLK1_DIV = "ENABLED", CLK2_DIV = "ENABLED", CLK3_DIV = "ENABLED";
  parameter HIGHSPEED_CLK = "NONE", GSR = "ENABLED", CAS_MATCH_REG = "FALSE";
  parameter SOURCEB_MODE = "B_SHIFT", MULT_BYPASS = "DISABLED", RESETMODE = "SYNC";

  initial begin
    if (REG_INPUTA_CLK != "NONE" && REG_INPUTA_CLK != "CLK0") $fatal(1, "MULT18X18D: REG_INPUTA_CLK must be NONE or CLK0");
    if (REG_INPUTB_CLK != REG_INPUTA_CLK) $fatal(1, "MULT18X18D: REG_INPUTB_CLK must be that of A");
    if (REG_PIPELINE_CLK != "NONE" && REG_PIPELINE_CLK != "CLK0") $fatal(1, "MULT18X18D: REG_PIPELINE_CLK must be NONE or CLK0");
    if (REG_OUTPUT_CLK != "CLK0") $fatal(1, "MULT18X18D: REG_OUTPUT_CLK must be CLK0");
    if (REG_INPUTA_CE != "CE0" || REG_INPUTB_CE != "CE1" || REG_PIPELINE_CE != "CE0" || REG_OUTPUT_CE != "CE0")
      $fatal(1, "MULT18X18D: clock enables must be CE0, that of B CE1");
    if (SOURCEB_MODE != "B_SHIFT" || MULT_BYPASS != "DISABLED" || RESETMODE != "SYNC")
      $fatal(1, "MULT18X18D: SOURCEB_MODE, MULT_BYPASS, RESETMODE must be B_SHIFT, DISABLED, SYNC");
  end

  wire signed [18:0] a = {SIGNEDA & A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire signed [18:0] b = {SIGNEDB & B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  reg signed [18:0] held_a, held_b;
  wire signed [18:0] front_a = REG_INPUTA_CLK == "NONE" ? a : held_a;
  wire signed [18:0] front_b = REG_INPUTB_CLK == "NONE" ? b : held_b;
  wire signed [37:0] product = front_a * front_b;
  reg signed [37:0] piped, out;
  always @(posedge CLK0) begin
    if (CE0) held_a <= RST0 ? 19'd0 : a;
    if (CE1) held_b <= RST0 ? 19'd0 : b;
    if (CE0) piped <= RST0 ? 38'd0 : product;
    if (CE0) out <= RST0 ? 38'd0 : REG_PIPELINE_CLK == "NONE" ? product : piped;
  end
  assign {
    P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
  } = out[35:0];
endmodule
