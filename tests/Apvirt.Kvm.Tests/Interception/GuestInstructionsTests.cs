using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests.Interception;

/// <summary>A guest's own view of the hardware (kvm.md §4).</summary>
public sealed class GuestInstructionsTests
{
    private static readonly Apqn Plugged = Apqn.Of(1, 4);
    private static readonly byte[] Echo = ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, [7]);

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;
    private readonly CryptoHardware _hardware;

    public GuestInstructionsTests()
    {
        _task = _runtime.CreateTask("test");
        _hardware = new CryptoHardware(_runtime, new QciInfo(
            ApFeatures.Apxa, 255, 255, ApMask.Of(1, 2), ApMask.Of(4, 5), ApMask.Of(4, 5, 6)));
        _hardware.AddAdapter(1, new AdapterType(14, AdapterType.CcaFunctions));
        _hardware.AddAdapter(2, new AdapterType(14, AdapterType.CcaFunctions));
        _hardware.AddAdapter(3, new AdapterType(14, AdapterType.CcaFunctions));
    }

    [Fact]
    public void QciShowsTheControlBlockAsFarAsTheHostHasIt()
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        SetMasks(machine, ApMask.Of(1, 3), ApMask.Of(4, 9), ApMask.Of(6, 9));
        Assert.True(guest.TryQueryConfiguration(out QciInfo info));
        Assert.Equal((ApMask.Of(1), ApMask.Of(4), ApMask.Of(6)), (info.Apm, info.Aqm, info.Adm));
        Assert.True(info.HasApxa);
    }

    [Theory]
    [InlineData(1, 4, ApResponse.Normal)]
    [InlineData(1, 5, ApResponse.NotAvailable)]
    [InlineData(2, 4, ApResponse.NotAvailable)]
    [InlineData(3, 4, ApResponse.NotAvailable)]
    [InlineData(200, 200, ApResponse.NotAvailable)]
    public void AQueueIsThereIfTheControlBlockAndTheHardwareHaveIt(int apid, int apqi, ApResponse code)
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        SetMasks(machine, ApMask.Of(1, 3), ApMask.Of(4), ApMask.None);
        Apqn apqn = Apqn.Of(apid, apqi);
        Assert.Equal(code, guest.Tapq(apqn).Code);
        Assert.Equal(code, guest.Tapq(apqn, out ApQueueInfo info).Code);
        Assert.Equal(code == ApResponse.Normal ? 14 : 0, info.Type);
        Assert.Equal(code, guest.Rapq(apqn).Code);
        Assert.Equal(code, guest.Zapq(apqn).Code);
        Assert.Equal(code, guest.Nqap(apqn, 1, Echo).Code);
        Assert.Equal(code, guest.Dqap(apqn, out ulong psmid, out ReadOnlyMemory<byte> reply).Code);
        Assert.Equal(code == ApResponse.Normal ? 1ul : 0, psmid);
        Assert.Equal(code == ApResponse.Normal, reply.Length > 0);
    }

    [Fact]
    public void AQueueThatLeavesTheControlBlockIsGoneAtTheNextInstruction()
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        SetMasks(machine, ApMask.Of(1), ApMask.Of(4), ApMask.None);
        Assert.Equal(ApResponse.Normal, guest.Tapq(Plugged).Code);
        Assert.True(machine.Lock.TryLock(_task));
        machine.ClearMasks(_task);
        machine.Lock.Unlock(_task);
        Assert.Equal(ApResponse.NotAvailable, guest.Tapq(Plugged).Code);
    }

    [Fact]
    public void TheStateOfTheRealQueueIsSeen()
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        SetMasks(machine, ApMask.Of(1), ApMask.Of(4), ApMask.None);
        _hardware.SetQueueCode(Plugged, ApResponse.Checkstopped);
        Assert.Equal(ApResponse.Checkstopped, guest.Tapq(Plugged).Code);
    }

    [Fact]
    public void AGuestsZapqIsCountedAsTheGuests()
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        SetMasks(machine, ApMask.Of(1), ApMask.Of(4), ApMask.None);
        guest.Zapq(Plugged);
        guest.Zapq(Apqn.Of(2, 5));
        Assert.Equal((Plugged, new ResetCounts(0, 0, 1)), Assert.Single(_hardware.ResetCounts()));
    }

    [Fact]
    public void WithoutInterpretationThereIsNothing()
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new VirtualMachineOptions { IsInterpretingAp = false });
        SetMasks(machine, ApMask.Of(1), ApMask.Of(4), ApMask.None);
        Assert.False(guest.IsAvailable);
        Assert.False(guest.TryQueryConfiguration(out _));
        Assert.Equal(ApResponse.NotAvailable, guest.Tapq(Plugged).Code);
    }

    [Fact]
    public void AqicIsInterceptedAndAnswers01WithoutAHook()
    {
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        SetMasks(machine, ApMask.Of(1), ApMask.Of(4), ApMask.None);
        AqicControl control = new(Enable: true, Isc: 3, NotificationByte: 0x2000);
        Assert.Equal(ApResponse.NotAvailable, _runtime.Drive(guest.AqicAsync(_task, Plugged, control)).Code);
        Assert.False(_hardware.InstructionsFor(ApIssuer.Bus).Tapq(Plugged).InterruptEnabled);
        Assert.Null(machine.Vcpus[0].Mutex.Holder);
    }

    [Fact]
    public async Task NoInstructionSeesHalfOfAChange()
    {
        ProductionRuntime runtime = new(1);
        KernelTask writer = runtime.CreateTask("writer");
        (VirtualMachine machine, GuestInstructions guest) = Make(new());
        int torn = 0;
        bool isDone = false;
        SpawnedTask reader = runtime.Spawn("vcpu0", _ =>
        {
            while (!Volatile.Read(ref isDone))
            {
                guest.TryQueryConfiguration(out QciInfo info);
                bool isOld = info.Apm == ApMask.None && info.Aqm == ApMask.None && info.Adm == ApMask.None;
                bool isNew = info.Apm == ApMask.Of(1, 2) && info.Aqm == ApMask.Of(4, 5) && info.Adm == ApMask.Of(4, 5, 6);
                if (!isOld && !isNew)
                    Interlocked.Increment(ref torn);
            }
            return default;
        });
        for (int i = 0; i < 20_000; i++)
        {
            Assert.True(machine.Lock.TryLock(writer));
            if (i % 2 == 0)
                machine.SetMasks(writer, ApMask.All, ApMask.All, ApMask.All);
            else
                machine.ClearMasks(writer);
            machine.Lock.Unlock(writer);
        }
        Volatile.Write(ref isDone, true);
        await reader.JoinAsync(writer).AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(0, torn);
    }

    private (VirtualMachine Machine, GuestInstructions Guest) Make(VirtualMachineOptions options)
    {
        VirtualMachine machine = new(new SimulationRuntime(), "g1", hostHasApxa: true, options);
        return (machine, new GuestInstructions(machine.Vcpus[0], _hardware.InstructionsFor(ApIssuer.Guest), Profile.Linux612, new SimulationRuntime()));
    }

    private void SetMasks(VirtualMachine machine, ApMask apm, ApMask aqm, ApMask adm)
    {
        Assert.True(machine.Lock.TryLock(_task));
        machine.SetMasks(_task, apm, aqm, adm);
        machine.Lock.Unlock(_task);
    }
}
