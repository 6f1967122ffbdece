# Digilent Arty A7-35 and A7-100, both with the package CSG324 and the same pins. Format: Xilinx design constraints, for Vivado.
# Checked against the pin table of the Python package amaranth-boards (arty_a7.py) by tests/flow/test_constraints.py.

# Bank 0 and configuration are at 3.3 V.
set_property CFGBVS VCCO [current_design]
set_property CONFIG_VOLTAGE 3.3 [current_design]

# Clock: the 100 MHz oscillator. What the MMCM makes of it is constrained by Vivado.
set_property -dict {PACKAGE_PIN E3 IOSTANDARD LVCMOS33} [get_ports {oscillator}]
create_clock -name oscillator -period 10.000 [get_ports {oscillator}]

# UART: port B of the FT2232HQ. Names are the FPGA's: rx is what the computer sends. Pulled up, so that an open line is idle.
set_property -dict {PACKAGE_PIN A9 IOSTANDARD LVCMOS33 PULLUP TRUE} [get_ports {rx}]
set_property -dict {PACKAGE_PIN D10 IOSTANDARD LVCMOS33} [get_ports {tx}]

# LEDs LD4 to LD7, lit by 1; what each shows: docs/howto/board.md.
set_property -dict {PACKAGE_PIN H5 IOSTANDARD LVCMOS33} [get_ports {leds[0]}]
set_property -dict {PACKAGE_PIN J5 IOSTANDARD LVCMOS33} [get_ports {leds[1]}]
set_property -dict {PACKAGE_PIN T9 IOSTANDARD LVCMOS33} [get_ports {leds[2]}]
set_property -dict {PACKAGE_PIN T10 IOSTANDARD LVCMOS33} [get_ports {leds[3]}]

# The UART is asynchronous and the LEDs are for eyes: no edge of a clock outside goes with them.
set_false_path -from [get_ports {rx}]
set_false_path -to [get_ports {tx leds[*]}]
