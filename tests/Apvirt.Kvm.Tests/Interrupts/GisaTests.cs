using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interrupts;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests.Interrupts;

/// <summary>Registration of interruption subclasses (kvm.md §6).</summary>
public sealed class GisaTests
{
    private readonly KernelTask _task = new SimulationRuntime().CreateTask("test");

    [Theory]
    [InlineData(0, 0x80)]
    [InlineData(3, 0x10)]
    [InlineData(7, 0x01)]
    public void TheFirstRegistrationSetsTheAlertBitAndTheLastTakesItBack(int subclass, byte bit)
    {
        Gisa gisa = new(_task.Runtime, "gisa", exists: true, designation: 0x2000);
        Assert.Equal(0, gisa.AlertMask);
        Assert.Equal(Errno.Ok, gisa.Register(_task, subclass, out int hostSubclass));
        Assert.Equal(Gisa.HostSubclass, hostSubclass);
        Assert.Equal(Errno.Ok, gisa.Register(_task, subclass, out _));
        Assert.Equal((2, bit), (gisa.Counts[subclass], gisa.AlertMask));
        Assert.Equal(Errno.Ok, gisa.Unregister(_task, subclass));
        Assert.Equal(bit, gisa.AlertMask);
        Assert.Equal(Errno.Ok, gisa.Unregister(_task, subclass));
        Assert.Equal((0, (byte)0), (gisa.Counts[subclass], gisa.AlertMask));
        Assert.Equal(Errno.EINVAL, gisa.Unregister(_task, subclass));
        Assert.Equal(0, gisa.Counts[subclass]);
    }

    [Fact]
    public void SubclassesAreCountedApart()
    {
        Gisa gisa = new(_task.Runtime, "gisa", exists: true, designation: 0x2000);
        foreach (int subclass in (int[])[0, 7, 7, 2])
            Assert.Equal(Errno.Ok, gisa.Register(_task, subclass, out _));
        Assert.Equal([1, 0, 1, 0, 0, 0, 0, 2], gisa.Counts);
        Assert.Equal(0xa1, gisa.AlertMask);
        Assert.Equal(Errno.EINVAL, gisa.Unregister(_task, 1));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(255)]
    [InlineData(-1)]
    public void ASubclassAboveSevenIsOutOfRange(int subclass)
    {
        Gisa gisa = new(_task.Runtime, "gisa", exists: true, designation: 0x2000);
        Assert.Equal(Errno.ERANGE, gisa.Register(_task, subclass, out _));
        Assert.Equal(Errno.ERANGE, gisa.Unregister(_task, subclass));
    }

    [Theory]
    [InlineData(3)]
    [InlineData(8)]
    public void WithoutAGisaThereIsNoDeviceWhateverTheSubclass(int subclass)
    {
        Gisa gisa = new(_task.Runtime, "gisa", exists: false, designation: 0x2000);
        Assert.Equal(Errno.ENODEV, gisa.Register(_task, subclass, out _));
        Assert.Equal(Errno.ENODEV, gisa.Unregister(_task, subclass));
        Assert.Equal(0u, gisa.Designation);
    }

    [Theory]
    [InlineData(true, true, true)]
    [InlineData(true, false, false)]
    [InlineData(false, true, false)]
    public void AVmHasAGisaIfItIsWantedAndAivIsThere(bool hasGisa, bool hasAiv, bool exists)
    {
        VirtualMachine machine = new(new SimulationRuntime(), "g1", hostHasApxa: true, new VirtualMachineOptions { HasGisa = hasGisa, HasAiv = hasAiv });
        Assert.Equal(exists, machine.Gisa.Exists);
        Assert.Equal(exists, machine.Gisa.Designation != 0);
    }
}
