using Apvirt.Ap.Architecture;
using Apvirt.Kvm.Interception;

namespace Apvirt.Kvm.Tests.Interception;

/// <summary>Where the operands of PQAP stand in the registers (kvm.md §5).</summary>
public sealed class PqapRegistersTests
{
    [Fact]
    public void FunctionCodeAndApqnStandInRegisterZero()
    {
        PqapRegisters registers = new() { Gr0 = 0xdeadbeef_03004567 };
        Assert.Equal(3, registers.Function);
        Assert.Equal(Apqn.Of(0x45, 0x67), registers.Apqn);
        registers.Gr0 = 0x00000000_ff800000;
        Assert.Equal(0xff, registers.Function);
    }

    [Fact]
    public void OperandsOfAqicAreReadBack()
    {
        foreach (bool enable in (bool[])[true, false])
        {
            PqapRegisters registers = PqapRegisters.ForAqic(
                Apqn.Of(1, 0x47), new AqicControl(enable, Isc: 5, NotificationByte: 0x123456789));
            Assert.Equal(0x03000147ul, registers.Gr0);
            Assert.Equal((enable, (byte)5, 0x123456789ul), (registers.IsEnable, registers.Isc, registers.Gr2));
        }
    }

    [Fact]
    public void TheStatusIsReturnedInTheLowerHalfAndLeavesTheUpper()
    {
        PqapRegisters registers = new() { Gr1 = 0x0000800000000003 };
        registers.Return(new ApStatus(ApResponse.OtherwiseChanged, InterruptEnabled: true));
        Assert.Equal(0x0000800081070000ul, registers.Gr1);
        Assert.Equal(ApResponse.OtherwiseChanged, registers.Response);
        Assert.Equal(0x81070000u, registers.Status);
    }

    [Fact]
    public void TheQuirkReturnsItInTheUpperHalfAndLeavesTheLower()
    {
        PqapRegisters registers = new() { Gr1 = 0x0000800000000003 };
        registers.ReturnInUpperHalf(ApResponse.NotAvailable);
        Assert.Equal(0x8001000000000003ul, registers.Gr1);
    }
}
